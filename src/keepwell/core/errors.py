"""The one error tree. A message says what is wrong and what to do; the edge maps the class to a status and exit code.

KeepwellError
├── InvalidInput      the caller's value cannot be used            400   exit 2
│   └── TooLarge      it is larger than what is accepted           413   exit 2
├── Unauthenticated   nobody is signed in                          401   exit 4
├── Denied            signed in, not allowed                       403   exit 4
├── NotFound          no such thing                                404   exit 3
├── Conflict          the state does not allow it (now)            409   exit 5
├── NotInstalled      an optional extra is missing                 501   exit 6
├── NotSupported      known, and not offered                       501   exit 6
├── Unavailable       try again: locked, busy, away                503   exit 7
└── Damaged           stored bytes or records are not what they were   500   exit 8
"""

from __future__ import annotations


class KeepwellError(Exception):
    """Something Keepwell can say in one sentence. `code` is stable and machine readable."""

    code = "error"

    def __init__(self, message: str, *, code: str | None = None, where: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        """A place in the caller's input: a field, or `file:line`."""
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.where}: {self.message}" if self.where else self.message


class InvalidInput(KeepwellError):
    """The caller's value cannot be used."""

    code = "invalid_input"


class TooLarge(InvalidInput):
    """The caller's value is larger than what is accepted."""

    code = "too_large"


class Unauthenticated(KeepwellError):
    """Nobody is signed in."""

    code = "unauthenticated"


class Denied(KeepwellError):
    """Signed in, but not allowed."""

    code = "denied"


class NotFound(KeepwellError):
    """No such thing."""

    code = "not_found"


class Conflict(KeepwellError):
    """The state does not allow it."""

    code = "conflict"


class NotInstalled(KeepwellError):
    """An optional extra is missing."""

    code = "not_installed"


class NotSupported(KeepwellError):
    """Known, and not offered."""

    code = "not_supported"


class Unavailable(KeepwellError):
    """Try again later."""

    code = "unavailable"


class Damaged(KeepwellError):
    """Stored bytes or records are not what they were."""

    code = "damaged"
