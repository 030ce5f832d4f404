"""One grammar for every name a person chooses.

A name is 1 to 200 characters of letters, digits, space, dot, underscore and hyphen; it starts with a letter or digit
and does not end with a dot or space. Words that other systems give a meaning to are refused.
"""

from __future__ import annotations

import re
import unicodedata

from keepwell.core.errors import InvalidInput

_GRAMMAR = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._-]{0,199}\Z")
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{d}{n}" for d in ("com", "lpt") for n in range(1, 10))})
_RESERVED = frozenset({"null", "none", "undefined", "nan", "true", "false", "latest", "champion", "challenger"})


def check_name(name: object, what: str = "name") -> str:
    """Return `name` when it follows the grammar.

    Raises:
        InvalidInput: the name is not text, breaks the grammar, is only digits, or is a reserved word.
    """
    if not isinstance(name, str):
        raise InvalidInput(f"The {what} must be text.", where=what)
    a_what = f"an {what}" if what[:1] in "aeiou" else f"a {what}"
    shown = ascii(name if len(name) <= 60 else name[:57] + "...")
    if not _GRAMMAR.match(name) or name != unicodedata.normalize("NFKC", name) or name[-1] in ". ":
        raise InvalidInput(
            f"{shown} cannot be {a_what}: use 1 to 200 letters, digits, spaces, '.', '_' or '-', "
            "starting with a letter or digit, not ending with a dot or space.",
            where=what,
        )
    folded = name.casefold()
    if folded.isdigit() or folded in _RESERVED or folded.split(".")[0].rstrip() in _DEVICES:
        raise InvalidInput(f"{shown} cannot be {a_what}: it means something else elsewhere; add a word.", where=what)
    return name


def name_key(name: str) -> str:
    """Return the form under which a name is unique: two names that differ in case only are one."""
    return unicodedata.normalize("NFKC", name).casefold()
