"""Models and fleets: members, versions, evidence, verdicts, lineage, champions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import msgspec

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.ids import check_id
from keepwell.flows.registry import charter_of
from keepwell.flows.trace import Trace, trace
from keepwell.governance.charters import current_charter
from keepwell.models import service
from keepwell.models.model import Batch, Champion, FleetMember, Model, ModelVersion
from keepwell.models.model import VersionState as State
from keepwell.releases import approving
from keepwell.releases import service as releases
from keepwell.releases.model import Approval, Evidence, Verdict, Waiting
from keepwell.server.routing import Ask, File, Name, Page, Paging, Query, Route

Number = Annotated[int, msgspec.Meta(ge=1, le=1 << 53)]
Search = Annotated[str, msgspec.Meta(max_length=200)]


class ModelFacts(msgspec.Struct, frozen=True):
    """One model or fleet.

    Attributes:
        name: its name.
        environments: in order, as its charter says; the last is production. None for a model without a charter.
        states: state to how many members have a newest version in it.
        champions: environment to how many members have a champion there.
    """

    name: str
    environments: tuple[str, ...]
    states: Mapping[str, int]
    champions: Mapping[str, int]


class MembersQuery(Paging, frozen=True, kw_only=True):
    """Which members of a fleet.

    Attributes:
        environment: whose champions; production if absent.
        q: parts of the segment's key, a state, a number like `v3`.
        state: the newest version is in this state.
        number: the newest version has this number.
        worst: a metric: the worst first.
    """

    environment: Name | None = None
    q: Search | None = None
    state: State | None = None
    number: Number | None = None
    worst: Name | None = None


class Members(msgspec.Struct, frozen=True):
    """A page of members, and how many match in all."""

    items: Sequence[FleetMember]
    total: int
    next: str | None


class VersionsQuery(Paging, frozen=True, kw_only=True):
    """Which versions."""

    segment: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None
    state: State | None = None
    q: Search | None = None


class ChampionsQuery(Paging, frozen=True, kw_only=True):
    """Whose champions; of production if absent."""

    environment: Name | None = None


class HistoryQuery(Paging, frozen=True, kw_only=True):
    """Whose history."""

    environment: Name | None = None
    segment: Annotated[str, msgspec.Meta(min_length=1, max_length=1000)] | None = None


class WaitingQuery(Query, frozen=True, kw_only=True):
    """Of which model; of all if absent."""

    model: Name | None = None


def models(ask: Ask[Paging, None]) -> Page[Model]:
    """List models and fleets."""
    with ask.read() as tx:
        found = service.models(tx, after=ask.after(str), limit=ask.limit + 1)
    return ask.page(found, lambda one: one.name)


def model(ask: Ask[None, None]) -> ModelFacts:
    """Return one model or fleet."""
    with ask.read() as tx:
        name = service.model(tx, ask.path["model"])
        charter = charter_of(tx, name)
        environments = () if charter is None else charter.release.environments
        return ModelFacts(
            name,
            environments,
            service.state_counts(tx, name),
            {environment: len(service.champion_ids(tx, name, environment)) for environment in environments},
        )


def members(ask: Ask[MembersQuery, None]) -> Members:
    """Search the members of a fleet."""
    wanted = ask.query
    with ask.read() as tx:
        name = service.model(tx, ask.path["model"])
        found = service.fleet(
            tx,
            name,
            _environment(ask, wanted.environment),
            q=wanted.q,
            state=wanted.state,
            number=wanted.number,
            worst=wanted.worst,
            limit=ask.limit,
            after=ask.after(str),
        )
    return Members(found.members, found.total, ask.token(found.after))


def versions(ask: Ask[VersionsQuery, None]) -> Page[ModelVersion]:
    """List versions, by segment and newest first within it."""
    wanted = ask.query
    with ask.read() as tx:
        found = service.versions(
            tx,
            service.model(tx, ask.path["model"]),
            segment=wanted.segment,
            state=wanted.state,
            q=wanted.q,
            limit=ask.limit,
            after=ask.after(str),
        )
    return Page(found.versions, ask.token(found.after))


def version(ask: Ask[Any, Any]) -> ModelVersion:
    """Return one version."""
    with ask.read() as tx:
        return service.version(tx, ask.path["version"])


def evidence(ask: Ask[None, None]) -> list[Evidence]:
    """Return what was measured of a version."""
    with ask.read() as tx:
        return releases.evidence(tx, service.version(tx, ask.path["version"]).id)


def verdicts(ask: Ask[None, None]) -> list[Verdict]:
    """Return what gates said of a version, newest first."""
    with ask.read() as tx:
        return releases.verdict_history(tx, service.version(tx, ask.path["version"]).id)


def approvals(ask: Ask[None, None]) -> list[Approval]:
    """Return what persons decided about a version."""
    with ask.read() as tx:
        found = service.version(tx, ask.path["version"]).id
        return approving.approvals(tx, [found])[found]


def lineage(ask: Ask[None, None]) -> Trace:
    """Return where a version comes from and where it went."""
    return trace(ask.kit, ask.path["version"])


def artifact(ask: Ask[None, None]) -> File:
    """Return the bytes of a version, verified."""
    found = version(ask)
    return File(service.artifact(ask.kit.blobs, found), name=f"{found.id}.keepwell")


def batch(ask: Ask[None, None]) -> Batch:
    """Return a batch."""
    with ask.read() as tx:
        return service.batch(tx, check_id(ask.path["batch"], "bat"))[0]


def champions(ask: Ask[ChampionsQuery, None]) -> Page[Champion]:
    """List who answers in an environment, by segment."""
    with ask.read() as tx:
        name = service.model(tx, ask.path["model"])
        found = service.champions(tx, name, _environment(ask, ask.query.environment))
    return ask.page_of(found.values(), lambda one: one.segment)


def history(ask: Ask[HistoryQuery, None]) -> Page[Champion]:
    """List who was champion when, newest first."""
    with ask.read() as tx:
        found = service.champion_history(
            tx,
            service.model(tx, ask.path["model"]),
            ask.query.segment,
            ask.query.environment,
            before=ask.after(int),
            limit=ask.limit + 1,
        )
    return ask.page(found, lambda one: one.seq)


def waiting(ask: Ask[WaitingQuery, None]) -> list[Waiting]:
    """List the approvals that wait for someone, oldest first."""
    with ask.read() as tx:
        return approving.waiting_approvals(tx, ask.query.model)


def _environment(ask: Ask[Any, Any], named: str | None) -> str:
    """Return the environment that is asked about, or production."""
    with ask.read() as tx:
        try:
            known = current_charter(tx, ask.path["model"]).charter.release.environments
        except NotFound:
            return named or "prod"
    if named is not None and named not in known:
        raise InvalidInput(f"The charter has the environments {', '.join(known)}.", where="environment")
    return named or known[-1]


_READ = "models.read"
ROUTES = (
    Route("GET", "/api/models", _READ, models, "List models and fleets.", query=Paging, answer=Page[Model]),
    Route("GET", "/api/models/{model}", _READ, model, "Return a model or fleet.", answer=ModelFacts),
    Route("GET", "/api/models/{model}/members", _READ, members, "Search the members of a fleet.",
          query=MembersQuery, answer=Members),
    Route("GET", "/api/models/{model}/versions", _READ, versions, "List versions.",
          query=VersionsQuery, answer=Page[ModelVersion]),
    Route("GET", "/api/models/{model}/champions", _READ, champions, "List who answers in an environment.",
          query=ChampionsQuery, answer=Page[Champion]),
    Route("GET", "/api/models/{model}/history", _READ, history, "List who was champion when, newest first.",
          query=HistoryQuery, answer=Page[Champion]),
    Route("GET", "/api/versions/{version}", _READ, version, "Return a version.", answer=ModelVersion),
    Route("GET", "/api/versions/{version}/evidence", _READ, evidence, "Return what was measured of a version.",
          answer=list[Evidence]),
    Route("GET", "/api/versions/{version}/verdicts", _READ, verdicts, "Return what gates said of a version.",
          answer=list[Verdict]),
    Route("GET", "/api/versions/{version}/approvals", _READ, approvals, "Return what persons decided about a version.",
          answer=list[Approval]),
    Route("GET", "/api/versions/{version}/lineage", _READ, lineage, "Return where a version comes from.", answer=Trace),
    Route("GET", "/api/versions/{version}/artifact", _READ, artifact, "Return a version's bytes, verified.",
          answer=File),
    Route("GET", "/api/batches/{batch}", _READ, batch, "Return a batch of versions.", answer=Batch),
    Route("GET", "/api/approvals", _READ, waiting, "List the approvals that wait for someone.",
          query=WaitingQuery, answer=list[Waiting]),
)  # fmt: skip
