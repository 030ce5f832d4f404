"""What may be written on models and versions: aliases, tags, stages, descriptions. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import get_args

from keepwell.core.errors import Conflict, InvalidInput
from keepwell.core.secrets import HIDDEN, hide_credentials, names_secret
from keepwell.models.registry_model import Stage

STAGES: tuple[Stage, ...] = get_args(Stage)
ACTIVE: tuple[Stage, ...] = ("Staging", "Production")
"""Stages whose holders can be archived by a newcomer."""

MOST_TAG_NAME = 250
MOST_TAG_TEXT = 100_000
MOST_TAGS = 1_000
"""Tags of one model or version."""
MOST_ALIASES = 1_000
"""Aliases of one model."""
MOST_DESCRIPTION = 100_000
MOST_SOURCE = 2_000

OURS = "keepwell."
"""Tags that start so are Keepwell's own; nobody else writes them."""

_ALIAS = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,199}\Z")
_VERSION_LIKE = re.compile(r"v?[0-9]+\Z")
_TAKEN = frozenset({"latest", "null", "none", "undefined", "nan", "true", "false"})
_TAG = re.compile(r"[\w./: \-]{1,250}\Z")


def check_alias(alias: object) -> str:
    """Return `alias` when it can be one.

    Raises:
        InvalidInput: it is not 1 to 200 letters, digits, `_` or `-`, it looks like a version's number, or the word
            means something else.
    """
    if not isinstance(alias, str):
        raise InvalidInput("An alias must be text.", where="alias")
    shown = ascii(alias if len(alias) <= 60 else alias[:57] + "...")
    if not _ALIAS.match(alias):
        raise InvalidInput(
            f"{shown} cannot be an alias: use 1 to 200 letters, digits, '_' or '-', not starting with '-'.",
            where="alias",
        )
    folded = alias.casefold()
    if folded in _TAKEN or _VERSION_LIKE.match(folded):
        raise InvalidInput(f"{shown} cannot be an alias: it means something else; add a word.", where="alias")
    return alias


def check_tags(tags: Mapping[str, str]) -> Mapping[str, str]:
    """Return the tags as they are stored, when each can be one: secrets hidden, as in the tags of runs.

    Raises:
        InvalidInput: a name or a text cannot be used, or there are too many.
    """
    if len(tags) > MOST_TAGS:
        raise InvalidInput(f"There are at most {MOST_TAGS:,} tags; these are {len(tags):,}.", where="tags")
    for name, text in tags.items():
        check_tag_name(name)
        if not isinstance(text, str) or len(text) > MOST_TAG_TEXT:
            raise InvalidInput(f"The tag {name[:60]!r} needs a text of at most {MOST_TAG_TEXT:,} characters.",
                               where="tags")  # fmt: skip
        if not _storable(text):
            raise InvalidInput(f"The tag {name[:60]!r} holds characters that cannot be stored.", where="tags")
    return {name: HIDDEN if text and names_secret(name) else hide_credentials(text) for name, text in tags.items()}


def check_tag_name(name: object) -> str:
    """Return a tag's name when it can be one.

    Raises:
        InvalidInput: it is not 1 to 250 letters, digits, spaces or `_ - . / :`, is a path that leads elsewhere, or is
            one of Keepwell's own.
    """
    if not isinstance(name, str):
        raise InvalidInput("A tag's name must be text.", where="tags")
    shown = ascii(name if len(name) <= 60 else name[:57] + "...")
    parts = name.split("/")
    if (
        not _TAG.match(name)
        or name != unicodedata.normalize("NFKC", name)
        or name != name.strip()
        or any(part in ("", ".", "..") for part in parts)
    ):
        raise InvalidInput(
            f"{shown} cannot be a tag's name: use 1 to 250 letters, digits, spaces, '_', '-', '.', '/' or ':'.",
            where="tags",
        )
    if name.casefold().startswith(OURS):
        raise InvalidInput(f"{shown} is one of Keepwell's own tags; choose a name that does not start with {OURS!r}.",
                           where="tags")  # fmt: skip
    return name


def check_description(text: object) -> str | None:
    """Return a description as it is stored, without credentials in addresses; None for none.

    Raises:
        InvalidInput: it is too long or cannot be stored.
    """
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > MOST_DESCRIPTION or not _storable(text):
        raise InvalidInput(f"A description is a text of at most {MOST_DESCRIPTION:,} characters.", where="description")
    return hide_credentials(text)


def check_source(text: object, where: str = "source") -> str | None:
    """Return a source or link without credentials: a text for reading, which nothing ever opens.

    Raises:
        InvalidInput: it is too long or holds control characters.
    """
    if text is None:
        return None
    if not isinstance(text, str) or len(text) > MOST_SOURCE or not text.isprintable():
        raise InvalidInput(f"A {where} is at most {MOST_SOURCE:,} printable characters.", where=where)
    return hide_credentials(text)


def check_stage(stage: object) -> Stage:
    """Return a stage as it is written, whatever the case it is given in.

    Raises:
        InvalidInput: it is none.
    """
    found = next((one for one in STAGES if isinstance(stage, str) and one.casefold() == stage.casefold()), None)
    if found is None:
        raise InvalidInput(
            f"Invalid Model Version stage: {str(stage)[:60]}. Value must be one of {', '.join(STAGES)}.", where="stage"
        )
    return found


def check_archiving(stage: Stage, archive_existing: bool) -> None:
    """Refuse to archive the holders of a stage that is not an active one.

    Raises:
        InvalidInput: it is `None` or `Archived`.
    """
    if archive_existing and stage not in ACTIVE:
        raise InvalidInput(
            "Model version transition cannot archive existing model versions "
            f"because '{stage}' is not an Active stage. Valid stages are {list(ACTIVE)}",
            where="archive_existing",
        )


def check_free(name: str, held: object) -> None:
    """Refuse to delete what holds a place.

    Raises:
        Conflict: `held` names where it is champion.
    """
    if held:
        raise Conflict(f"{name} cannot be deleted: it is champion in {held}; promote another version first.",
                       code="in_use")  # fmt: skip


def alias_key(alias: str) -> str:
    """Return the form under which an alias is unique within its model."""
    return alias.casefold()


def _storable(text: str) -> bool:
    """Tell whether a text holds neither a NUL nor half of a surrogate pair."""
    try:
        return b"\0" not in text.encode()
    except UnicodeEncodeError:
        return False
