"""What looks like a secret in recorded text: names that say so, and credentials in addresses."""

from __future__ import annotations

import re

HIDDEN = "(hidden)"
_CREDENTIALS = re.compile(r"(?P<scheme>[A-Za-z][A-Za-z0-9+.-]{0,30}://)[^/\s?#]{0,2000}@")
_NAME = re.compile(
    r"(^|[_.\- ])(pass(word|wd|phrase)?|secret|api[_-]?key|access[_-]?key|private[_-]?key|credentials?"
    r"|(access|auth|api|bearer|refresh)[_-]?token|token)$",
    re.IGNORECASE,
)


def names_secret(name: str) -> bool:
    """Tell whether a name says that its value is a secret: `api_key`, `db_password`, but not `max_tokens`."""
    return _NAME.search(name) is not None


def hide_credentials(text: str) -> str:
    """Return the text with the credentials of every address in it hidden: `https://(hidden)@example.com/x`."""
    return _CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", text)
