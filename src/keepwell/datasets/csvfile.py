"""Look at the bytes of a CSV file before they are parsed, and say in one sentence what is wrong and on which line.

Polars fills a short line with missing values and cannot say where a bad byte is; so records are counted here, over
arrays, at about the speed of reading. Format: RFC 4180, with `;`, tab or `|` as separator, LF, CRLF or CR alone as
line end, and a byte order mark.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from dataclasses import dataclass

import numpy as np

from keepwell.core.errors import InvalidInput

_SEPARATORS = b",;\t|"
_BLOCK = 1 << 25
_DECIMAL_COMMA = re.compile(r"-?[0-9]+,[0-9]+\Z")
_DECIMAL_POINT = re.compile(r"-?[0-9]+\.[0-9]+\Z")


@dataclass(frozen=True, slots=True)
class Layout:
    r"""How a CSV file is written.

    Attributes:
        header: column names, stripped, in order.
        separator: one character.
        line_end: `\n` (also for CRLF) or `\r`.
        decimal_comma: whether numbers are written `1,5`.
        records: records below the header, blank lines not counted.
        blank: blank lines.
        skip: bytes of the byte order mark.
    """

    header: tuple[str, ...]
    separator: str
    line_end: str
    decimal_comma: bool
    records: int
    blank: int
    skip: int


def look(data: bytes, name: str) -> Layout:
    """Return how a CSV file is written.

    Args:
        data: the whole file.
        name: how the file is called in a sentence.

    Raises:
        InvalidInput: it is empty, holds bytes that are not UTF-8 text, an unclosed quote, a line with too many or too
            few fields, or a header that does not name each column once; `where` is `name:line`.
    """
    skip = _check_text(data, name)
    line_end = b"\n" if b"\n" in data else b"\r"
    first, end = _first_record(data, skip, line_end)
    if not first.strip():
        raise InvalidInput("The file has no header: its first line is blank.", where=f"{name}:1")
    separator = _separator(first, _first_record(data, end, line_end)[0])
    header = _header(first.decode(), separator, name)
    records, blank = _count(data, skip, line_end, separator, len(header), name)
    return Layout(
        header=header,
        separator=separator,
        line_end=line_end.decode(),
        decimal_comma=separator == ";" and _decimal_comma(data[end : end + 20_000]),
        records=records - 1,
        blank=blank,
        skip=skip,
    )


def _check_text(data: bytes, name: str) -> int:
    if not data.strip():
        raise InvalidInput("The file is empty.", where=name)
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        raise InvalidInput("The file is UTF-16; save it as UTF-8.", where=name)
    nul = data.find(b"\0")
    if nul >= 0:
        line = _line(data, nul)
        raise InvalidInput("The line holds a NUL byte: the file is damaged or is not CSV.", where=f"{name}:{line}")
    if not data.isascii():
        try:
            data.decode()
        except UnicodeDecodeError as error:
            bad = data[error.start]
            raise InvalidInput(
                f"The line holds the byte 0x{bad:02x}, which is not UTF-8; save the file as UTF-8.",
                where=f"{name}:{_line(data, error.start)}",
            ) from None
    return len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0


def _line(data: bytes, at: int) -> int:
    end = b"\n" if b"\n" in data else b"\r"
    return data.count(end, 0, at) + 1


def _first_record(data: bytes, skip: int, line_end: bytes) -> tuple[bytes, int]:
    at, end = skip, -1
    while (end := data.find(line_end, at)) >= 0:
        if data.count(b'"', skip, end) % 2 == 0:
            break
        at = end + 1
    end = len(data) if end < 0 else end
    return data[skip:end].rstrip(b"\r"), end + 1


def _separator(first: bytes, second: bytes) -> str:
    """Return the character that stands most often in the header, and as often in the line below where one does."""
    counts = [
        [re.sub(rb'"[^"]*"', b"", record).count(bytes([candidate])) for record in (first, second)]
        for candidate in _SEPARATORS
    ]
    best = max(range(len(counts)), key=lambda i: (counts[i][0] == counts[i][1] > 0, counts[i][0]))
    return chr(_SEPARATORS[best])


def _header(first: str, separator: str, name: str) -> tuple[str, ...]:
    rows = list(csv.reader(io.StringIO(first, newline=""), delimiter=separator))
    names = tuple(" ".join(n.split()) or f"column_{i + 1}" for i, n in enumerate(rows[0] if rows else []))
    twice = next((n for i, n in enumerate(names) if n in names[:i]), None)
    if twice is not None:
        raise InvalidInput(f"The header names the column {twice!r} twice; give each its own name.", where=f"{name}:1")
    return names


def _decimal_comma(sample: bytes) -> bool:
    fields = [field.strip().strip('"') for field in re.split(r"[;\r\n]", sample.decode(errors="ignore"))]
    return any(map(_DECIMAL_COMMA.match, fields)) and not any(map(_DECIMAL_POINT.match, fields))


def _count(data: bytes, skip: int, line_end: bytes, separator: str, width: int, name: str) -> tuple[int, int]:
    """Count records and blank lines, block by block; each block starts where a record does."""
    bytes_ = np.frombuffer(data, dtype=np.uint8)
    start, records, blank, size = skip, 0, 0, _BLOCK
    while start < len(data):
        block = bytes_[start : start + size]
        final = start + len(block) == len(data)
        ends, separators, odd = _marks(block, line_end[0], ord(separator))
        if final and not odd and (not len(ends) or ends[-1] != len(block) - 1):
            ends = np.append(ends, len(block))
        if not len(ends) and not final:
            size *= 2
            continue
        fields, empty = _fields(block, ends, separators)
        wrong = np.flatnonzero((fields != width) & ~empty) if width > 1 else np.flatnonzero(fields != width)
        if len(wrong):
            _refuse(data, start, ends, int(wrong[0]), int(fields[wrong[0]]), width, name)
        if final and odd:
            _refuse_open(data, start + (int(ends[-1]) + 1 if len(ends) else 0), name)
        blank += int(empty.sum()) if width > 1 else 0
        records += len(ends) - (int(empty.sum()) if width > 1 else 0)
        start += int(ends[-1]) + 1
    return records, blank


def _marks(
    block: np.ndarray[tuple[int], np.dtype[np.uint8]], line_end: int, separator: int
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.int64]], bool]:
    """Return where records end and fields are separated, outside of quotes, and whether a quote stays open."""
    ends = np.flatnonzero(block == line_end)
    separators = np.flatnonzero(block == separator)
    quotes = np.flatnonzero(block == ord('"'))
    if len(quotes):
        ends = ends[np.searchsorted(quotes, ends) % 2 == 0]
        separators = separators[np.searchsorted(quotes, separators) % 2 == 0]
    return ends, separators, len(quotes) % 2 == 1


def _fields(
    block: np.ndarray[tuple[int], np.dtype[np.uint8]],
    ends: np.ndarray[tuple[int], np.dtype[np.int64]],
    separators: np.ndarray[tuple[int], np.dtype[np.int64]],
) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], np.ndarray[tuple[int], np.dtype[np.bool_]]]:
    """Return how many fields each record has, and whether it is a blank line."""
    starts = np.concatenate(([0], ends + 1))[: len(ends)]
    fields = np.diff(np.searchsorted(separators, ends), prepend=0) + 1
    length = ends - starts
    only_return = (length == 1) & (block[np.minimum(starts, len(block) - 1)] == ord("\r"))
    return fields, (length == 0) | only_return


def _refuse(
    data: bytes,
    start: int,
    ends: np.ndarray[tuple[int], np.dtype[np.int64]],
    at: int,
    found: int,
    width: int,
    name: str,
) -> None:
    begin = start + (int(ends[at - 1]) + 1 if at else 0)
    end = start + int(ends[at])
    where = f"{name}:{_line(data, begin)}"
    if end >= len(data) and found < width:
        raise InvalidInput(
            f"The file is cut: its last line has {found} of {width} fields and no line end; fetch it again.",
            where=where,
        )
    raise InvalidInput(
        f"The line has {found} fields, the header has {width}; quote a field that holds the separator or a line end.",
        where=where,
    )


def _refuse_open(data: bytes, at: int, name: str) -> None:
    raise InvalidInput(
        "A quote that is opened in the record that starts on this line is never closed: the file is cut, or a quote "
        'inside a field is not doubled ("").',
        where=f"{name}:{_line(data, at)}",
    )
