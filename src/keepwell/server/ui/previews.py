"""What an artifact is, by its name, and what of it is shown on a page: a table, text, a picture, a document. Pure.

Nothing here runs what is in a file. Documents that hold scripts are shown by the browser in a sandbox, see
`routing.Shown`; all else is text that is escaped.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from keepwell.server.ui.columns import Cell, value_cell

Kind = Literal["picture", "table", "text", "json", "document", "other"]
PICTURES = {
    "png": "image/png", "jpg": "image/jpeg", "jpeg": "image/jpeg", "gif": "image/gif", "webp": "image/webp",
    "svg": "image/svg+xml", "bmp": "image/bmp", "avif": "image/avif",
}  # fmt: skip
DOCUMENTS = {"html": "text/html; charset=utf-8", "htm": "text/html; charset=utf-8"}
TABLES = frozenset({"csv", "tsv", "parquet"})
TEXTS = frozenset({
    "txt", "log", "md", "rst", "py", "r", "java", "sh", "sql", "js", "css", "yaml", "yml", "toml", "ini", "cfg", "conf",
    "xml", "diff", "patch", "lock", "env", "jsonl", "ndjson", "tex", "ipynb",
})  # fmt: skip
PLAIN = frozenset({"mlmodel", "dockerfile", "makefile", "requirements", "license", "readme"})
"""Files without an ending that are text."""

READ = 256 << 10
"""So many bytes of a text are read for a page."""
LARGEST = {"picture": 20 << 20, "document": 20 << 20, "table": 64 << 20, "json": 4 << 20}
"""Larger ones are not shown, only saved."""
ROWS, COLUMNS, LINES = 200, 60, 2_000


def kind_of(path: str) -> Kind:
    """Return what a file is shown as, by its name."""
    name = path.rpartition("/")[2].casefold()
    ending = name.rpartition(".")[2] if "." in name.lstrip(".") else ""
    if ending in PICTURES:
        return "picture"
    if ending in DOCUMENTS:
        return "document"
    if ending in TABLES:
        return "table"
    if ending == "json":
        return "json"
    return "text" if ending in TEXTS or name in PLAIN else "other"


def media_of(path: str) -> str | None:
    """Return as what a browser may show a file, in a picture or in a sandboxed frame; None: not at all."""
    ending = path.rpartition(".")[2].casefold()
    return PICTURES.get(ending) or DOCUMENTS.get(ending)


@dataclass(frozen=True, slots=True)
class TableView:
    """A table as it is shown.

    Attributes:
        names: of its columns.
        rows: of cells.
        more_rows: how many rows are left out; None when that is not known, but there are some.
        more_columns: how many columns are left out.
    """

    names: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    more_rows: int | None = 0
    more_columns: int = 0


@dataclass(frozen=True, slots=True)
class TextView:
    """Lines of text; whether there are more."""

    text: str
    cut: bool = False


def text_view(data: bytes, whole: int) -> TextView | None:
    """Return the start of a text; None when it is not text.

    Args:
        data: its first bytes.
        whole: how many it has in all.
    """
    cut = whole > len(data)
    if b"\x00" in data:
        return None
    text = data.decode("utf-8", errors="replace")
    if text.count("\ufffd") > 1 + len(text) // 100:
        return None
    lines = text.splitlines()
    return TextView("\n".join(line[:1_000] for line in lines[:LINES]), cut or len(lines) > LINES)


def table_of(names: Sequence[str], rows: Sequence[Sequence[Any]], total: int | None) -> TableView:
    """Return a table of JSON values, cut to what fits a page.

    Args:
        names: of the columns.
        rows: its first rows.
        total: how many rows there are in all; None when that is not known.
    """
    kept = [[value_cell(value) for value in row[:COLUMNS]] for row in rows[:ROWS]]
    more = None if total is None else max(0, total - len(kept))
    return TableView([str(name)[:200] for name in names[:COLUMNS]], kept, more, max(0, len(names) - COLUMNS))


def csv_table(data: bytes, whole: int, separator: str = ",") -> TableView | None:
    """Return the first rows of a file of values with a header; None when it is no such file."""
    text = data.decode("utf-8-sig", errors="replace")
    complete = whole <= len(data)
    if not complete:
        text = text[: text.rfind("\n") + 1]
    try:
        rows = list(csv.reader(io.StringIO(text), delimiter=separator, strict=True))
    except csv.Error:
        return None
    if not rows or not rows[0]:
        return None
    return table_of(rows[0], rows[1:], len(rows) - 1 if complete else None)


def json_table(data: bytes) -> TableView | None:
    """Return a table that a JSON file holds (`columns` and `data`, records, or columns); None when it is none."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if isinstance(value, dict) and isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        rows = [row for row in value["data"] if isinstance(row, list)]
        return table_of(value["columns"], rows, len(rows))
    if isinstance(value, list) and value and all(isinstance(row, dict) for row in value):
        names = list(dict.fromkeys(name for row in value[:ROWS] for name in row))
        return table_of(names, [[row.get(name) for name in names] for row in value[:ROWS]], len(value))
    if isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values()):
        length = max(len(column) for column in value.values())
        rows = [[c[i] if i < len(c) else None for c in value.values()] for i in range(min(length, ROWS))]
        return table_of(list(value), rows, length)
    return None


def json_text(data: bytes) -> TextView | None:
    """Return a JSON file indented; None when it is not JSON."""
    try:
        text = json.dumps(json.loads(data), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return None
    lines = text.splitlines()
    return TextView("\n".join(lines[:LINES]), len(lines) > LINES)
