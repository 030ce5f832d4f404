from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.server.ui import links, words

NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "said"),
    [(None, "unknown"), (float("nan"), "unknown"), (0.0, "0"), (0.12345, "0.123"), (12.345, "12.3"), (1234.5, "1,234"),
     (1234567, "1,234,567"), (0.00001, "1.00e-05"), (-3.14159, "-3.14"), (100.0, "100")],
)  # fmt: skip
def test_numbers_have_three_significant_digits(value: float | None, said: str) -> None:
    assert words.number(value) == said


@pytest.mark.parametrize(
    ("value", "said"), [(None, "unknown"), (0.0712, "7.1 %"), (0.2, "20.0 %"), (1.5, "150 %"), (0.0, "0.0 %")]
)
def test_fractions_are_said_as_per_cent(value: float | None, said: str) -> None:
    assert words.percent(value).replace("\u202f", " ").replace("\u00a0", " ") == said


def test_what_is_not_known_is_said_so_for_every_metric() -> None:
    assert {words.metric(None, name) for name in ("wmape", "rmse", "bias")} == {"unknown"}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(5, "just now"), (-5, "in a moment"), (300, "5 min ago"), (7200, "2 h ago"), (86_400 * 3, "3 d ago"),
     (-86_400 * 7, "in 7 d"), (86_400 * 100, "3 months ago"), (86_400 * 800, "2 years ago")],
)  # fmt: skip
def test_moments_are_said_relative_to_now(seconds: int, said: str) -> None:
    assert words.ago(NOW - timedelta(seconds=seconds), NOW) == said


def test_spans_of_a_charter_are_said_in_words() -> None:
    assert [words.span("60d"), words.span("1w"), words.span("1w", 4), words.span("2 h")] == [
        "60 d", "1 week", "4 weeks", "2 h",
    ]  # fmt: skip


def test_ids_keep_their_prefix_and_their_end() -> None:
    assert words.short("ver_01k7e2ezr0xw3q7ym5vp84ppc3") == "ver_…84ppc3"
    assert words.short("sha256:" + "ab" * 32) == "abababab"


@given(st.text(alphabet=st.characters(codec="utf-8"), min_size=1, max_size=40))
def test_any_key_of_a_segment_fits_into_a_link(key: str) -> None:
    link = links.segment("a model", key)
    assert link.startswith("/models/a%20model/segment?key=") and link.isascii() and "\n" not in link


def test_every_prefix_of_an_id_leads_to_a_page() -> None:
    assert links.of_id("ver_01k7e2ezr0xw3q7ym5vp84ppc3") == "/versions/ver_01k7e2ezr0xw3q7ym5vp84ppc3"
    assert links.of_id("bat_01k7e2ezr0xw3q7ym5vp84ppc3") is None
    assert links.of_id("tick_01k7e2ezr0xw3q7ym5vp84ppc3:0") == "/decisions/tick_01k7e2ezr0xw3q7ym5vp84ppc3"
    assert links.of_id("run_fast") is None and links.of_id("ver_01k7e2ezr0xw3q7ym5vp84ppc3:x") is None
    assert links.of_subject("model:bikes") == "/models/bikes"
    assert links.with_query("/x", q="a b", state="", page=None) == "/x?q=a+b"
