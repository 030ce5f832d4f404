"""CSV traps, as tables of bytes and as properties over any table."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.datasets import csvfile
from keepwell.datasets.csvfile import look

GOOD = {
    "plain": (b"a,b\n1,2\n", ("a", "b"), 1, ",", "\n"),
    "no line end at the end": (b"a,b\n1,2\n3,4", ("a", "b"), 2, ",", "\n"),
    "CR only": (b"a,b\r1,2\r3,4\r", ("a", "b"), 2, ",", "\r"),
    "CRLF": (b"a,b\r\n1,2\r\n", ("a", "b"), 1, ",", "\n"),
    "byte order mark": (b"\xef\xbb\xbfa,b\n1,2\n", ("a", "b"), 1, ",", "\n"),
    "semicolons": (b"a;b,c\n1;2\n", ("a", "b,c"), 1, ";", "\n"),
    "tabs": (b"a\tb\n1\t2\n", ("a", "b"), 1, "\t", "\n"),
    "pipes": (b"a|b\n1|2\n", ("a", "b"), 1, "|", "\n"),
    "one column": (b"a\n1\n\n3\n", ("a",), 3, ",", "\n"),
    "blank lines": (b"a,b\n1,2\n\n3,4\n\n", ("a", "b"), 2, ",", "\n"),
    "blank CRLF lines": (b"a,b\r\n1,2\r\n\r\n", ("a", "b"), 1, ",", "\n"),
    "quoted line end": (b'a,b\n"x\ny",2\n', ("a", "b"), 1, ",", "\n"),
    "quoted separator": (b'a,b\n"x,y",2\n', ("a", "b"), 1, ",", "\n"),
    "doubled quote": (b'a,b\n"x ""y""",2\n', ("a", "b"), 1, ",", "\n"),
    "quoted header with a line end": (b'"a\nb",c\n1,2\n', ("a b", "c"), 1, ",", "\n"),
    "spaces in the header": (b" a , b \n1,2\n", ("a", "b"), 1, ",", "\n"),
    "a nameless column": (b",b\n1,2\n", ("column_1", "b"), 1, ",", "\n"),
    "header only": (b"a,b\n", ("a", "b"), 0, ",", "\n"),
}


@pytest.mark.parametrize("case", GOOD, ids=str)
def test_good_files_are_understood(case: str) -> None:
    data, header, records, separator, line_end = GOOD[case]
    layout = look(data, "x.csv")
    assert (layout.header, layout.records, layout.separator, layout.line_end) == (header, records, separator, line_end)


BAD = {
    "empty": (b"", "x.csv", "empty"),
    "blank": (b" \n \n", "x.csv", "empty"),
    "blank header": (b"\na,b\n1,2\n", "x.csv:1", "no header"),
    "UTF-16": ("a,b\n1,2\n".encode("utf-16"), "x.csv", "UTF-16"),
    "Latin-1": (b"a,b\n1,2\n3,caf\xe9\n", "x.csv:3", "0xe9"),
    "Latin-1, CR only": (b"a,b\r1,2\r3,caf\xe9\r", "x.csv:3", "0xe9"),
    "NUL": (b"a,b\n1,\x002\n", "x.csv:2", "NUL"),
    "short line": (b"a,b,c\n1,2,3\n4,5\n6,7,8\n", "x.csv:3", "2 fields, the header has 3"),
    "long line": (b"a,b\n1,2\n3,4,5\n", "x.csv:3", "3 fields, the header has 2"),
    "cut in a line": (b"a,b,c\n1,2,3\n4,", "x.csv:3", "is cut: its last line has 2 of 3"),
    "cut in a quote": (b'a,b\n1,"x\ny",\n2,"z', "x.csv:2", "3 fields"),
    "open quote": (b'a,b\n1,x\n2,"z\n3,y\n', "x.csv:3", "never closed"),
    "lines are counted through quotes": (b'a,b\n"x\ny\nz",2\n3\n', "x.csv:5", "1 fields"),
    "a name twice": (b"a,a\n1,2\n", "x.csv:1", "'a' twice"),
    "a name twice after stripping": (b"a, a\n1,2\n", "x.csv:1", "'a' twice"),
}


@pytest.mark.parametrize("case", BAD, ids=str)
def test_bad_files_are_refused_with_file_and_line(case: str) -> None:
    data, where, words = BAD[case]
    with pytest.raises(InvalidInput) as caught:
        look(data, "x.csv")
    assert caught.value.where == where
    assert words in caught.value.message
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("data", "comma"),
    [
        (b"a;b\n1,5;2\n", True),
        (b"a;b\n1.5;2\n", False),
        (b"a;b\n1,5;2.5\n", False),
        (b"a;b\n1;2\n", False),
        (b'a,b\n"1,5",2\n', False),
    ],
)
def test_a_decimal_comma_needs_semicolons_and_no_point(data: bytes, comma: bool) -> None:
    assert look(data, "x.csv").decimal_comma is comma


_FIELD = st.text(st.characters(codec="utf-8", exclude_characters="\0", exclude_categories=["Cs"]), max_size=6)


@st.composite
def _tables(draw: st.DrawFn) -> tuple[list[list[str]], str, str]:
    width = draw(st.integers(2, 5))
    rows = draw(st.lists(st.lists(_FIELD, min_size=width, max_size=width), max_size=12))
    return rows, draw(st.sampled_from([",", ";", "\t", "|"])), draw(st.sampled_from(["\n", "\r\n"]))


def _written(rows: list[list[str]], separator: str, line_end: str) -> bytes:
    out = io.StringIO(newline="")
    header = [f"c{i}" for i in range(len(rows[0]) if rows else 2)]
    writer = csv.writer(out, delimiter=separator, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    writer.writerows([header, *rows])
    return out.getvalue().encode()


@given(_tables())
def test_any_quoted_table_is_counted_right(table: tuple[list[list[str]], str, str]) -> None:
    rows, separator, line_end = table
    layout = look(_written(rows, separator, line_end), "x.csv")
    assert layout.records == len(rows)
    assert layout.blank == 0
    assert layout.separator == separator


@given(_tables(), st.integers(1, 40))
@settings(max_examples=50)
def test_blocks_of_any_size_count_the_same(table: tuple[list[list[str]], str, str], size: int) -> None:
    data = _written(*table)
    whole, before = look(data, "x.csv"), csvfile._BLOCK
    csvfile._BLOCK = size
    try:
        assert look(data, "x.csv") == whole
    finally:
        csvfile._BLOCK = before


@given(_tables(), st.data())
def test_a_line_that_loses_a_field_is_named(table: tuple[list[list[str]], str, str], data: st.DataObject) -> None:
    rows, separator, line_end = table
    plain = [[f"v{i}" for i, _ in enumerate(row)] for row in rows]
    if not plain:
        return
    at = data.draw(st.integers(0, len(plain) - 1))
    header = [f"c{i}" for i in range(len(plain[0]))]
    plain[at] = plain[at][1:]
    text = line_end.join(separator.join(row) for row in [header, *plain]) + line_end
    with pytest.raises(InvalidInput) as caught:
        look(text.encode(), "x.csv")
    assert caught.value.where == f"x.csv:{at + 2}"


def test_the_real_cr_file(shared_data: Path) -> None:
    layout = look((shared_data / "walmart_store_sales/stores_original_cr.csv").read_bytes(), "stores.csv")
    assert (layout.line_end, layout.records, layout.header) == ("\r", 45, ("Store", "Type", "Size"))
