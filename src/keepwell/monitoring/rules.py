"""Every judgement of monitoring. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from keepwell.core.digests import canonical_json
from keepwell.core.errors import InvalidInput
from keepwell.monitoring.model import Incident


def check_incident(new: Incident) -> None:
    """Refuse an incident that does not say what it is about.

    Raises:
        InvalidInput: there is no cause, title or facts, the severity is not known, or a fact is not JSON.
    """
    if not 0 < len(new.cause) <= 400:
        raise InvalidInput("An incident has a cause of 1 to 400 characters.", where="cause")
    if not 0 < len(new.title) <= 1000:
        raise InvalidInput("An incident has a title of 1 to 1000 characters.", where="title")
    if new.severity not in ("watch", "bad"):
        raise InvalidInput("An incident's severity is 'watch' or 'bad'.", where="severity")
    if not new.facts:
        raise InvalidInput("An incident rests on facts: give the ids or numbers that show it.", where="facts")
    canonical_json(dict(new.facts))


def check_closing(reason: str, evidence: Mapping[str, object]) -> None:
    """Refuse to close an incident without a reason and evidence.

    Raises:
        InvalidInput: either is missing, or the evidence is not JSON.
    """
    if not 0 < len(reason.strip()) <= 2000:
        raise InvalidInput("Closing an incident needs a reason of 1 to 2000 characters.", where="reason")
    if not evidence:
        raise InvalidInput(
            "Closing an incident needs evidence that it is over: an id or a number that shows it.", where="evidence"
        )
    canonical_json(dict(evidence))
