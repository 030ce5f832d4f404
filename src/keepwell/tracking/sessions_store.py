"""Up to where the operations of each client's session were applied: a batch that is sent again changes nothing."""

from __future__ import annotations

from sqlalchemy import BigInteger, Column, String, Table, insert, select, update

from keepwell.db import Transaction, metadata

sessions = Table(
    "log_sessions",
    metadata,
    Column("id", String(40), primary_key=True),
    Column("upto", BigInteger, nullable=False),
    Column("at", BigInteger, nullable=False),
    sqlite_with_rowid=False,
)


def upto(tx: Transaction, session: str) -> int | None:
    """Return the number of the session's last operation that was applied; None when there was none yet."""
    found = tx.execute(select(sessions.c.upto).where(sessions.c.id == session).with_for_update()).scalar()
    return None if found is None else int(found)


def advance(tx: Transaction, session: str, number: int, at: int, *, known: bool) -> None:
    """Note the number, at a moment in milliseconds; `known` says whether `upto` found one."""
    if known:
        tx.execute(update(sessions).where(sessions.c.id == session).values(upto=number, at=at))
    else:
        tx.execute(insert(sessions).values(id=session, upto=number, at=at))
