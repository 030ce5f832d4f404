"""Who acts, when, and under which idempotency key: the value every mutating service takes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

from keepwell.core.ids import Ids


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a service.

    Attributes:
        actor: the stable id of who acts: `person:<name>`, `service:<name>`, or `loop:<charter>`.
        now: the moment of the call, in UTC.
        ids: where new ids come from.
        key: the idempotency key; a call with a key that was seen returns what it returned then.
    """

    actor: str
    now: datetime
    ids: Ids
    key: str | None = None

    def under(self, key: str) -> Call:
        """Return the same call under another idempotency key."""
        return replace(self, key=key)
