"""An event: one change of governed state, as the ledger records it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Event:
    """What happened.

    Attributes:
        kind: `<noun>.<past verb>`, such as `dataset.version_added`; never renamed once released.
        subject: what it happened to, as `<type>:<id or name>`.
        body: the facts, as JSON without NaN: ids, names, digests, numbers. It is hashed for ever, so no personal data
            and no free text.
        note: free text (a reason a person typed). Kept beside the ledger; only a salted commitment of it is hashed,
            so that it can be erased later without breaking the chain.
    """

    kind: str
    subject: str
    body: Mapping[str, object] = field(default_factory=dict)
    note: str | None = None
