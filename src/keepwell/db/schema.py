"""The metadata on which the stores declare their tables, and the column types they share."""

from __future__ import annotations

import json

import msgspec
from sqlalchemy import Dialect, MetaData, Text, TypeDecorator

from keepwell.core.errors import InvalidInput

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)


class Json(TypeDecorator[object]):
    """A JSON value in a text column, decoded by msgspec. NaN and infinity are refused, never stored as null."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: object, dialect: Dialect) -> str | None:
        """Encode the value; None stays NULL."""
        return None if value is None else json_text(value)

    def process_result_value(self, value: str | None, dialect: Dialect) -> object:
        """Decode the text; NULL stays None."""
        return None if value is None else msgspec.json.decode(value)


def json_text(value: object) -> str:
    """Return a value as JSON.

    Raises:
        InvalidInput: the value holds NaN or an infinity, which msgspec would write as null.
    """
    text = msgspec.json.encode(value)
    if b"null" in text:
        try:
            json.dumps(msgspec.to_builtins(value), allow_nan=False, default=str)
        except ValueError as error:
            raise InvalidInput("NaN and infinity cannot be stored; an unknown number is null.") from error
    return text.decode()
