"""SQL expressions: what they may look at, and that a wrong one is a sentence."""

from __future__ import annotations

from contextlib import suppress
from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.datasets.expressions import evaluate

FRAME = pl.DataFrame({"hr": [1, 7, None], "d": ["2011-01-01", "2011-02-03", None], "sum": [1.0, 2.0, 3.0]})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CASE WHEN hr < 6 THEN 'night' ELSE 'day' END", ["night", "day", "day"]),
        ("hr IS NULL", [False, False, True]),
        ("COALESCE(hr, 0) + 1", [2, 8, 1]),
        ("hr BETWEEN 1 AND 5", [True, False, None]),
        ("hr IN (1, 2)", [True, False, None]),
        ("d LIKE '2011-01%'", [True, False, None]),
        ("LEFT(d, 4)", ["2011", "2011", None]),
        ("STRPTIME(d, '%Y-%m-%d') + INTERVAL '1h' * hr", [datetime(2011, 1, 1, 1), datetime(2011, 2, 3, 7), None]),
        ("'SUM(x) OVER select; now()'", ["SUM(x) OVER select; now()"] * 3),
        ("sum * 2", [2.0, 4.0, 6.0]),
        ('"sum" > 1', [False, True, True]),
        ("GREATEST(hr, 5)", [5, 7, 5]),
        ("5", [5, 5, 5]),
        ("NULL", [None, None, None]),
    ],
)
def test_expressions_over_the_row(text: str, expected: list[object]) -> None:
    assert evaluate(FRAME, text, "x", "data.derive.x").to_list() == expected


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("SELECT 1", "query"),
        ("hr > (SELECT 1)", "query"),
        ("(SELECT * FROM read_csv('/etc/passwd'))", "query"),
        ("read_csv('/etc/passwd')", "cannot be read"),
        ("SUM(hr)", "other rows"),
        ("hr - avg (hr)", "other rows"),
        ("hr > MAX(hr)", "other rows"),
        ("COUNT(*)", "other rows"),
        ("LAG(hr) OVER (ORDER BY d)", "query or window"),
        ("UNNEST(d)", "other rows"),
        ("COLUMNS('.*')", "other rows"),
        ("NOW()", "clock"),
        ("CURRENT_DATE", "clock"),
        ("hr; DROP TABLE x", "query"),
        ("__import__('os').system('touch x')", "cannot be read"),
        ("exec('x')", "cannot be read"),
        ("nope + 1", "nope"),
        ("d + 1", "does not work"),
        ("", "cannot be read"),
        ("((((", "cannot be read"),
        ("CAST(d AS NOTATYPE)", "cannot be read"),
    ],
)
def test_what_is_refused(text: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        evaluate(FRAME, text, "x", "data.derive.x")
    assert caught.value.where == "data.derive.x"
    assert words in caught.value.message
    assert "\n" not in caught.value.message


@given(st.text(max_size=30))
def test_no_text_is_a_traceback(text: str) -> None:
    with suppress(InvalidInput):
        assert len(evaluate(FRAME, text, "x", "where")) == 3
