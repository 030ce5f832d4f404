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


_ASSIGNED = re.compile(
    r"""(?P<before>(?P<name>[A-Za-z_][A-Za-z0-9_.\-]{0,80})["']?\s{0,4}(?::=|[:=])\s{0,4})(?P<value>\S[^\n]{0,4000})"""
)
_TOKENS = re.compile(
    r"\b(?:kw[tsl]_[A-Za-z0-9_-]{20,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,}|glpat-[A-Za-z0-9_-]{16,}"
    r"|AKIA[0-9A-Z]{16}|sk-[A-Za-z0-9_-]{20,}|xox[abprs]-[A-Za-z0-9-]{10,}|eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*)"
)


def hide_secrets(text: str) -> str:
    """Return a text with what looks like a secret hidden.

    That is what is assigned to a name that says so, credentials in addresses, and tokens of well-known forms.
    """

    def assigned(found: re.Match[str]) -> str:
        return f"{found['before']}{HIDDEN}" if names_secret(found["name"]) else found[0]

    lines = (_ASSIGNED.sub(assigned, line) for line in text.split("\n"))
    return _TOKENS.sub(HIDDEN, hide_credentials("\n".join(lines)))


def names_secret(name: str) -> bool:
    """Tell whether a name says that its value is a secret: `api_key`, `db_password`, but not `max_tokens`."""
    return _NAME.search(name) is not None


def hide_credentials(text: str) -> str:
    """Return the text with the credentials of every address in it hidden: `https://(hidden)@example.com/x`."""
    return _CREDENTIALS.sub(rf"\g<scheme>{HIDDEN}@", text)
