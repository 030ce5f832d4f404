"""Files of every format come out in the types of the standard form, or are refused in one sentence."""

from __future__ import annotations

import io
import sys
import zipfile
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from keepwell.core.errors import InvalidInput, NotInstalled
from keepwell.datasets.reading import format_of, read_bytes, read_table
from keepwell.datasets.sources import scan


def csv_(data: bytes) -> pl.DataFrame:
    return read_bytes(data, "x.csv", "csv")


CSV = {
    "CR only": (b"a,b\r1,2\r3,4\r", {"a": [1, 3], "b": [2, 4]}),
    "missing": (b"a,b,c\nNA,2,x\n,4,NA\n7,N/A,\n", {"a": [None, None, 7], "b": [2, 4, None], "c": ["x", None, None]}),
    "NaN is missing": (b"a\n1.5\nNaN\n", {"a": [1.5, None]}),
    "blank lines": (b"a,b\n1,2\n\n3,4\n\n", {"a": [1, 3], "b": [2, 4]}),
    "quotes": (b'a,b\n"x\ny",2\n"z ""q""",3\n', {"a": ["x\ny", 'z "q"'], "b": [2, 3]}),
    "decimal comma": (b"a;b\n1,5;2\n-0,25;3\n", {"a": [1.5, -0.25], "b": [2, 3]}),
    "booleans": (b"a,b\nTRUE,false\nFALSE,NA\n", {"a": [True, False], "b": [False, None]}),
    "dates": (b"a\n2011-01-02\nNA\n", {"a": [date(2011, 1, 2), None]}),
    "moments": (b"a\n2011-01-02 03:04\n", {"a": [datetime(2011, 1, 2, 3, 4)]}),
    "moments with seconds": (b"a\n2011-01-02T03:04:05.5\n", {"a": [datetime(2011, 1, 2, 3, 4, 5, 500_000)]}),
    "moments with a zone become UTC": (b"a\n2011-01-02T03:04:05+02:00\n", {"a": [datetime(2011, 1, 2, 1, 4, 5)]}),
    "zulu": (b"a\n2011-01-02T03:04:05Z\n", {"a": [datetime(2011, 1, 2, 3, 4, 5)]}),
    "slashed dates are not guessed": (b"a\n01/02/2011\n", {"a": ["01/02/2011"]}),
    "some are no date": (b"a\n2011-01-02\nsoon\n", {"a": ["2011-01-02", "soon"]}),
    "codes keep their zeros": (b"a,b\n007,1\n010,0\n", {"a": ["007", "010"], "b": [1, 0]}),
    "0 and 0.5 are numbers": (b"a,b\n0,0.5\n0,0\n", {"a": [0, 0], "b": [0.5, 0.0]}),
    "numbers too long to count with": (
        b"a\n123456789012345678901234567890\n",
        {"a": ["123456789012345678901234567890"]},
    ),
    "header only": (b"a,b\n", {"a": [], "b": []}),
    "byte order mark": (b"\xef\xbb\xbfa\n1\n", {"a": [1]}),
    "UTF-8": ("größe\n1\n".encode(), {"größe": [1]}),
}


@pytest.mark.parametrize("case", CSV, ids=str)
def test_csv(case: str) -> None:
    data, expected = CSV[case]
    assert csv_(data).to_dict(as_series=False) == expected


@pytest.mark.parametrize(
    ("data", "where", "words"),
    [
        (b"", "x.jsonl", "empty"),
        (b'{"a":1}\n{"a":nul', "x.jsonl:2", "not JSON"),
        (b'{"a":NaN}\n', "x.jsonl:1", "NaN"),
        (b'{"a":1e400}\n', "x.jsonl:1", "too large"),
        (b"[1]\n", "x.jsonl:1", "not a JSON object"),
        (b'{"a":1,"a":2}\n', "x.jsonl:1", "twice"),
        (b'{"a":"\xe9"}\n', "x.jsonl:1", "UTF-8"),
        (b'{"a":{"b":1}}\n', "x.jsonl", "no plain value"),
        (b'{"a":' + b"[" * 100_000 + b"\n", "x.jsonl:1", "not JSON"),
    ],
)
def test_bad_json_lines(data: bytes, where: str, words: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read_bytes(data, "x.jsonl", "jsonl")
    assert caught.value.where == where
    assert words in caught.value.message


def test_json_lines() -> None:
    data = b'{"a":1,"b":"2011-01-02"}\n\n{"a":null,"b":"2011-01-03","c":true}\n'
    expected = {"a": [1, None], "b": [date(2011, 1, 2), date(2011, 1, 3)], "c": [None, True]}
    assert read_bytes(data, "x.jsonl", "jsonl").to_dict(as_series=False) == expected


def test_parquet_types_are_settled() -> None:
    zone = timezone(timedelta(hours=2))
    frame = pl.DataFrame(
        {
            "small": pl.Series([1, 2], dtype=pl.Int8),
            "half": pl.Series([0.5, 1.5], dtype=pl.Float32),
            "money": pl.Series([Decimal("1.25"), None], dtype=pl.Decimal(10, 2)),
            "kind": pl.Series(["a", "b"], dtype=pl.Categorical),
            "when": pl.Series([datetime(2011, 1, 1, 2, tzinfo=zone), None], dtype=pl.Datetime("ns", "UTC")),
            "none": pl.Series([None, None], dtype=pl.Null),
            "huge": pl.Series([2**63, 1], dtype=pl.UInt64),
        }
    )
    sink = io.BytesIO()
    frame.write_parquet(sink)
    found = read_bytes(sink.getvalue(), "x.parquet", "parquet")
    assert dict(found.schema) == {
        "small": pl.Int64, "half": pl.Float64, "money": pl.Float64, "kind": pl.String, "when": pl.Datetime("us"),
        "none": pl.String, "huge": pl.String,
    }  # fmt: skip
    assert found["when"][0] == datetime(2011, 1, 1, 0)
    assert found["huge"].to_list() == [str(2**63), "1"]


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1xxxxPAR1", b"hello" * 10])
def test_broken_parquet(data: bytes) -> None:
    with pytest.raises(InvalidInput, match="cannot be read as parquet"):
        read_bytes(data, "x.parquet", "parquet")


@pytest.mark.parametrize(
    "column",
    [pl.Series("a", [[1, 2]]), pl.Series("a", [{"b": 1}]), pl.Series("a", [b"x"]), pl.Series("a", [timedelta(1)])],
)
def test_columns_without_plain_values_are_refused(column: pl.Series) -> None:
    sink = io.BytesIO()
    pl.DataFrame([column]).write_parquet(sink)
    with pytest.raises(InvalidInput, match="no plain value"):
        read_bytes(sink.getvalue(), "x.parquet", "parquet")


def workbook(rows: list[list[object]]) -> bytes:
    """A minimal Office Open XML workbook with inline strings and numbers."""
    cells = "".join(
        f"<row r='{y}'>" + "".join(
            f"<c r='{chr(65 + x)}{y}' t='inlineStr'><is><t>{v}</t></is></c>" if isinstance(v, str)
            else f"<c r='{chr(65 + x)}{y}'><v>{v}</v></c>"
            for x, v in enumerate(row) if v is not None
        ) + "</row>"
        for y, row in enumerate(rows, 1)
    )  # fmt: skip
    main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    rel = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006"
    office = "application/vnd.openxmlformats-officedocument.spreadsheetml"
    files = {
        "[Content_Types].xml": f"<Types xmlns='{package}/content-types'><Default Extension='rels' "
        "ContentType='application/vnd.openxmlformats-package.relationships+xml'/><Default Extension='xml' "
        f"ContentType='application/xml'/><Override PartName='/xl/workbook.xml' ContentType='{office}.sheet.main+xml'/>"
        f"<Override PartName='/xl/worksheets/sheet1.xml' ContentType='{office}.worksheet+xml'/></Types>",
        "_rels/.rels": f"<Relationships xmlns='{package}/relationships'><Relationship Id='r1' "
        f"Type='{rel}/officeDocument' Target='xl/workbook.xml'/></Relationships>",
        "xl/workbook.xml": f"<workbook xmlns='{main}' xmlns:r='{rel}'><sheets><sheet name='s' sheetId='1' r:id='r1'/>"
        "</sheets></workbook>",
        "xl/_rels/workbook.xml.rels": f"<Relationships xmlns='{package}/relationships'><Relationship Id='r1' "
        f"Type='{rel}/worksheet' Target='worksheets/sheet1.xml'/></Relationships>",
        "xl/worksheets/sheet1.xml": f"<worksheet xmlns='{main}'><sheetData>{cells}</sheetData></worksheet>",
    }
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as book:
        for name, text in files.items():
            book.writestr(name, "<?xml version='1.0' encoding='UTF-8'?>" + text)
    return sink.getvalue()


def test_excel() -> None:
    pytest.importorskip("fastexcel", reason="the extra 'excel' is not installed")
    found = read_bytes(workbook([["store", "units"], ["A", 1.5], ["B", None]]), "x.xlsx", "excel")
    assert found.to_dict(as_series=False) == {"store": ["A", "B"], "units": [1.5, None]}
    with pytest.raises(InvalidInput, match="cannot be read as Excel"):
        read_bytes(b"hello", "x.xlsx", "excel")


def test_excel_without_the_extra_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    with pytest.raises(NotInstalled, match=r"pip install 'keepwell\[excel\]'"):
        read_bytes(b"x", "x.xlsx", "excel")


@pytest.mark.parametrize(
    ("name", "form"),
    [("a.csv", "csv"), ("a.TSV", "csv"), ("a.b.parquet", "parquet"), ("a.ndjson", "jsonl"), ("a.xlsx", "excel")],
)
def test_the_ending_says_the_format(name: str, form: str) -> None:
    assert format_of(name) == form
    assert format_of("whatever", form) == form


def test_an_unknown_ending_is_refused() -> None:
    with pytest.raises(InvalidInput, match="no known format"):
        format_of("a.dat")


def test_a_file_that_changed_since_it_was_scanned_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a\n1\n")
    file = scan(["a.csv"], tmp_path)[0]
    assert read_table(file).rows() == [(1,)]
    (tmp_path / "a.csv").write_text("a\n2\n")
    with pytest.raises(Exception, match="has changed since"):
        read_table(file)


def test_the_real_features_file(shared_data: Path) -> None:
    file = scan(["features.csv"], shared_data / "walmart_store_sales")[0]
    frame = read_table(file)
    assert frame.height == 8190
    assert frame.schema["Date"] == pl.Date
    assert frame.schema["IsHoliday"] == pl.Boolean
    assert frame["CPI"].null_count() == 585
    assert frame["MarkDown1"].null_count() > 4000
