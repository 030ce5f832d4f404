"""What the loop decided and why; and one tick now."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from keepwell.core.errors import NotSupported
from keepwell.core.ids import check_id
from keepwell.governance.charters import current_charter
from keepwell.loop import service
from keepwell.loop import wishes as wishing
from keepwell.loop.ticks import Recorded, Tick
from keepwell.loop.wishes import Wish
from keepwell.server.routing import Ask, Body, Name, Page, Paging, Reason, Route


class TicksQuery(Paging, frozen=True, kw_only=True):
    """Of which model; of all if absent."""

    model: Name | None = None


class DecisionsQuery(Paging, frozen=True, kw_only=True):
    """Which decisions.

    Attributes:
        model: of one model.
        kind: of one kind, such as `train`.
        q: with this text in the reason.
    """

    model: Name | None = None
    kind: Name | None = None
    q: Name | None = None


SegmentKey = Annotated[str, msgspec.Meta(min_length=1, max_length=1000)]


class WhyQuery(Paging, frozen=True, kw_only=True):
    """Which segment; with `actions` only ticks in which it was not held."""

    segment: SegmentKey = "all"
    actions: bool = False


class WishBody(Body, frozen=True, kw_only=True):
    """What is to be trained, and why; no segments are all."""

    segments: Annotated[tuple[SegmentKey, ...], msgspec.Meta(max_length=wishing.MOST)] = ()
    reason: Reason


def ticks(ask: Ask[TicksQuery, None]) -> Page[Tick]:
    """List ticks without their decisions, newest first."""
    with ask.read() as tx:
        found = service.ticks(tx, ask.query.model, before=ask.after(int), limit=ask.limit + 1)
    return ask.page(found, lambda one: one.seq)


def tick(ask: Ask[None, None]) -> Tick:
    """Return one tick with its decisions."""
    with ask.read() as tx:
        return service.tick(tx, check_id(ask.path["tick"], "tick"))


def decisions(ask: Ask[DecisionsQuery, None]) -> Page[Recorded]:
    """List decisions, newest first."""
    wanted = ask.query
    after = ask.after(list)
    with ask.read() as tx:
        found = service.decisions(
            tx,
            model=wanted.model,
            kinds=() if wanted.kind is None else (wanted.kind,),
            q=wanted.q,
            before=None if after is None else (int(after[0]), int(after[1])),
            limit=ask.limit + 1,
        )
    return ask.page(found, lambda one: [one.seq, one.place])


def why(ask: Ask[WhyQuery, None]) -> Page[Recorded]:
    """Say why a segment retrained, was promoted or held, newest tick first."""
    asked = service.actions if ask.query.actions else service.why
    with ask.read() as tx:
        model = current_charter(tx, ask.path["model"]).charter.model
        found = asked(tx, model, ask.query.segment, before=ask.after(int), limit=ask.limit)
    more = len(found) == ask.limit
    return Page(found, ask.token(found[-1].seq if more else None))


def today(ask: Ask[None, None]) -> list[Recorded]:
    """Return what stands since the newest ticks and wants a person."""
    with ask.read() as tx:
        return service.needs_a_person(tx)


def wishes(ask: Ask[None, None]) -> list[Wish]:
    """Return who asked for which training, newest first."""
    with ask.read() as tx:
        return wishing.wishes(tx, current_charter(tx, ask.path["model"]).charter.model)


def wish(ask: Ask[None, WishBody]) -> Wish:
    """Ask the loop to train at its next tick."""
    with ask.write() as tx:
        model = current_charter(tx, ask.path["model"]).charter.model
        return wishing.wish(tx, ask.call(), model, ask.body.segments, ask.body.reason)


def unwish(ask: Ask[None, None]) -> Wish:
    """Take a wish back."""
    with ask.write() as tx:
        return wishing.withdraw(tx, ask.call(), check_id(ask.path["wish"], "wish"))


def run(ask: Ask[None, None]) -> Any:
    """Run the loop once for a model."""
    with ask.read() as tx:
        model = current_charter(tx, ask.path["model"]).charter.model
    if ask.house.tick is None:
        raise NotSupported("This server does not run the loop: 'keepwell up' does, or 'keepwell loop tick'.")
    return ask.house.tick(model, ask.actor)


ROUTES = (
    Route("GET", "/api/today", "loop.read", today, "List what the loop leaves to a person.", answer=list[Recorded]),
    Route("GET", "/api/ticks", "loop.read", ticks, "List ticks, newest first.", query=TicksQuery, answer=Page[Tick]),
    Route("GET", "/api/ticks/{tick}", "loop.read", tick, "Return a tick with its decisions.", answer=Tick),
    Route("GET", "/api/decisions", "loop.read", decisions, "List decisions, newest first.",
          query=DecisionsQuery, answer=Page[Recorded]),
    Route("GET", "/api/models/{model}/why", "loop.read", why, "Say why a segment was trained, promoted or held.",
          query=WhyQuery, answer=Page[Recorded]),
    Route("POST", "/api/models/{model}/tick", "loop.tick", run, "Run the loop once for a model.",
          answer=dict[str, Any]),
    Route("GET", "/api/models/{model}/wishes", "loop.read", wishes, "List who asked for which training, newest first.",
          answer=list[Wish]),
    Route("POST", "/api/models/{model}/wishes", "loop.wish", wish, "Ask the loop to train at its next tick.",
          body=WishBody, answer=Wish),
    Route("POST", "/api/wishes/{wish}/withdraw", "loop.wish", unwish, "Take a wish for a training back.", answer=Wish),
)  # fmt: skip
