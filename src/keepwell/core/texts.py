"""What a person may type as a reason: it is shown on terminals and pages, so it holds no control characters."""

from __future__ import annotations

from keepwell.core.errors import InvalidInput

LONGEST = 2_000


def check_text(text: object, what: str = "reason") -> str:
    """Return `text` when it is at most 2,000 characters of printable text, line breaks and tabs allowed.

    Raises:
        InvalidInput: it is not text, too long, or holds control characters.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise InvalidInput(f"The {what} must be text of at most {LONGEST} characters.", where=what)
    if not text.replace("\n", " ").replace("\t", " ").isprintable():
        raise InvalidInput(f"The {what} holds control characters; write it as plain text.", where=what)
    return text
