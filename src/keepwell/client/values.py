"""What the verbs take, as it is recorded: JSON values and texts, secrets hidden. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from keepwell.core.errors import InvalidInput
from keepwell.tracking.rules import mask


def accept_params(params: Mapping[str, object]) -> dict[str, Any]:
    """Return parameters as they are recorded: JSON values, secrets hidden.

    Raises:
        InvalidInput: a name cannot be used.
    """
    return {label(name, "parameter"): mask(name, plain(value)) for name, value in params.items()}


def accept_tags(tags: Mapping[str, object]) -> dict[str, str]:
    """Return tags as they are recorded: texts, secrets hidden.

    Raises:
        InvalidInput: a name cannot be used.
    """
    return {label(name, "tag"): str(mask(name, proper(str(value))))[:8000]
            for name, value in tags.items()}  # fmt: skip


def check_status(status: str) -> str:
    """Return a status that a run ends with; other systems' words for them are understood.

    Raises:
        InvalidInput: it is none.
    """
    known = {"killed": "interrupted", "finished": "finished", "failed": "failed", "interrupted": "interrupted"}
    found = known.get(status.lower()) if isinstance(status, str) else None
    if found is None:
        raise InvalidInput("A run ends as finished, failed or interrupted.", where="status")
    return found


def plain(value: object) -> Any:  # noqa: PLR0911  (one line a kind)
    """Return a value as JSON has it; what JSON does not have, as its text."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return proper(value)
    if isinstance(value, int):
        return value if abs(value) <= 1 << 53 else str(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "size", 2) == 1:
        return plain(value.item())
    if isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes) and len(value) <= 1000:
        return [plain(v) for v in value]
    return proper(str(value)[:8000])


def proper(text: str) -> str:
    """Return a text that can be stored: NUL and halves of surrogate pairs replaced."""
    if text.isascii() and "\0" not in text:
        return text
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


def label(name: object, what: str) -> str:
    """Return the name of a parameter or tag.

    Raises:
        InvalidInput: it is not 1 to 250 printable characters.
    """
    if not isinstance(name, str) or not 0 < len(name) <= 250 or not name.isprintable():
        raise InvalidInput(f"The name of a {what} is 1 to 250 printable characters.", where=what)
    return name
