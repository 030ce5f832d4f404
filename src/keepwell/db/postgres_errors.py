"""What PostgreSQL and its driver say, in plain words.

SQLSTATE codes are those of the PostgreSQL manual, appendix A. A connection that cannot be made brings no code, only
text, which may be in the server's language: what is not recognised there is said to be out of reach.
"""

from __future__ import annotations

import psycopg

from keepwell.core.errors import Damaged, InvalidInput, KeepwellError, Unavailable

_UNCERTAIN = (
    "The connection to the database was cut while a change was being committed: it may have been made or not. Repeat "
    "the call with the same idempotency key; it then happens once."
)
_CUT = "The connection to the database was cut; nothing was changed. Try again."
_AWAY = "The database server is starting, stopping or out of reach. Try again."
_AT_ONCE = "Someone else changed the same rows at the same moment; nothing was changed. Try again."
_AUTHENTICATION = "The database server refuses this user or password; see the user, the password and KEEPWELL_DATABASE."
_MISSING = "The database does not exist on this server; make it with: createdb NAME."
_MANY = "The database server takes no more connections. Try again, or raise its max_connections."
_FULL = "The disk of the database server is full; nothing was changed."
_DAMAGED = "The database server found damaged data; restore a backup, and run 'keepwell fsck'."

_SAID: dict[str, tuple[type[KeepwellError], str]] = {
    "28000": (Unavailable, _AUTHENTICATION),
    "28P01": (Unavailable, _AUTHENTICATION),
    "3D000": (Unavailable, _MISSING),
    "40001": (Unavailable, _AT_ONCE),
    "40P01": (Unavailable, _AT_ONCE),
    "42501": (
        Unavailable,
        "The database user may not do this; make it the owner of the database or of its schema.",
    ),
    "53100": (Unavailable, _FULL),
    "53200": (Unavailable, "The database server is out of memory; nothing was changed. Try again."),
    "53300": (Unavailable, _MANY),
    "55P03": (Unavailable, "The database is busy: another process has held it too long. Try again."),
    "57014": (Unavailable, "The database took too long to answer; nothing was changed. Try again."),
    "58030": (Unavailable, "The disk of the database server is failing; nothing was changed."),
    "25006": (Unavailable, "The database is read-only: it may be a standby. Point KEEPWELL_DATABASE to the primary."),
    "25P03": (Unavailable, "A change was left open too long and was rolled back by the server. Try again."),
    "22021": (InvalidInput, "Text cannot hold a NUL character."),
    "22003": (InvalidInput, "A number is too large to be stored."),
    "XX001": (Damaged, _DAMAGED),
    "XX002": (Damaged, _DAMAGED),
}
_AWAY_STATES = ("57P01", "57P02", "57P03")
_CONNECTING: tuple[tuple[str, str], ...] = (
    ("authentication failed", _AUTHENTICATION),
    ("no password supplied", _AUTHENTICATION),
    ("no pg_hba.conf entry", _AUTHENTICATION),
    ("role ", _AUTHENTICATION),
    ("too many clients", _MANY),
    ("connection slots", _MANY),
    ("does not exist", _MISSING),
    ("starting up", _AWAY),
    ("shutting down", _AWAY),
)


def explain(error: Exception, *, reading: bool, committing: bool) -> KeepwellError | None:
    """Return an error of ours for one of the driver's; None when it is our own mistake.

    Args:
        error: what the driver raised.
        reading: whether the transaction was to change nothing.
        committing: whether the commit was under way: a connection that is cut then leaves its outcome unknown.
    """
    if not isinstance(error, psycopg.Error):
        return None
    state = error.sqlstate
    if state is None:
        return _without_state(error, committing=committing)
    if state == "25006" and reading:
        return None
    if state in _AWAY_STATES or state.startswith("08"):
        return Unavailable(_UNCERTAIN if committing else _AWAY)
    said = _SAID.get(state)
    return None if said is None else said[0](said[1])


def _without_state(error: psycopg.Error, *, committing: bool) -> KeepwellError | None:
    text = str(error)
    if isinstance(error, psycopg.DataError) and "NUL" in text:
        return InvalidInput("Text cannot hold a NUL character.")
    if not isinstance(error, psycopg.OperationalError):
        return None
    if committing:
        return Unavailable(_UNCERTAIN)
    if not text.startswith(("connection failed", "connection timeout", "connection is bad", "failed to resolve")):
        return Unavailable(_CUT)
    for mark, said in _CONNECTING:
        if mark in text:
            return Unavailable(said)
    return Unavailable("The database server cannot be reached; see that it runs, and KEEPWELL_DATABASE.")
