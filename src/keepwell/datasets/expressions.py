"""SQL expressions over the row: read by polars, never by Python, and kept from asking for more than the row.

An expression that looks at other rows (`SUM`, `OVER`), at the clock, or at anything else than the columns would give
another result when the same rows arrive in other files, so it is refused.
"""

from __future__ import annotations

import re

from keepwell.core.errors import InvalidInput
from keepwell.core.lazy import pl

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
_WORDS = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_CALLED = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)\s*\(")
_OTHER_ROWS = re.compile(
    r"(array_agg|avg|columns|corr|count|covar\w*|cume_dist|dense_rank|first|first_value|group_concat|lag|last|last_value"
    r"|lead|listagg|max|mean|median|min|nth_value|ntile|percent_rank|quantile_\w+|rank|row_number|std\w*|string_agg|sum"
    r"|unnest|var\w*)\Z"
)
_CLOCK = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})


def row_expression(text: str, where: str) -> pl.Expr:
    """Return the polars expression of a SQL expression over the row.

    Args:
        text: the SQL expression, such as `CASE WHEN hr < 6 THEN 'night' ELSE 'day' END`.
        where: the clause that holds it, such as `data.derive.part`, for the error.

    Raises:
        InvalidInput: it cannot be read, or it looks at more than the row.
    """
    plain = _QUOTED.sub(" ", text)
    words = {word.lower() for word in _WORDS.findall(plain)}
    called = {word.lower() for word in _CALLED.findall(plain)}
    if words & {"select", "over"} or ";" in plain:
        raise InvalidInput("A query or window does not belong here; write an expression over the row.", where=where)
    if aggregate := sorted(filter(_OTHER_ROWS.match, called)):
        raise InvalidInput(
            f"{aggregate[0].upper()} looks at other rows; write an expression over the row.", where=where
        )
    if words & _CLOCK or "now" in called:
        raise InvalidInput("The expression asks the clock; write the date itself.", where=where)
    try:
        return pl.sql_expr(text)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidInput(f"The expression cannot be read: {_first(error)}.", where=where) from error


def evaluate(frame: pl.DataFrame, text: str, name: str, where: str) -> pl.Series:
    """Return the values of a SQL expression, one a row, under a name.

    Raises:
        InvalidInput: it cannot be read, names a column that is not there, or does not fit the columns' types.
    """
    expression = row_expression(text, where)
    try:
        values = frame.with_columns(expression.alias(name))[name]
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise InvalidInput(f"The expression does not work on these columns: {_first(error)}.", where=where) from error
    return values.cast(pl.String) if values.dtype == pl.Null else values


def _first(error: BaseException) -> str:
    return str(error).strip().splitlines()[0].rstrip(".")
