"""What the registry is asked: models, versions, champions, fleets. A listing has a limit and says where it goes on."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from keepwell.core.errors import InvalidInput, NotFound
from keepwell.core.ids import check_id
from keepwell.core.paging import check_after, check_limit
from keepwell.db import Transaction
from keepwell.models import fleets, queries, rules
from keepwell.models.model import (
    Batch,
    Champion,
    FleetColumns,
    FleetPage,
    MemberStanding,
    Model,
    ModelVersion,
    Standing,
    VersionPage,
)


def models(tx: Transaction, *, after: str | None = None, limit: int = 100) -> list[Model]:
    """Return the models and fleets by name; give the last name as `after` for the next page."""
    return queries.all_models(tx, check_after(after), check_limit(limit))


def model(tx: Transaction, name: str) -> str:
    """Return a model's name as it was registered.

    Raises:
        NotFound: nothing is registered under that name.
    """
    found = queries.model_name(tx, name)
    if found is None:
        raise NotFound(f"No model is called {ascii(name)[:80]}; `keepwell model list` names those that are registered.")
    return found


def batch(tx: Transaction, batch_id: str) -> tuple[Batch, int]:
    """Return a batch, and the number of the ledger's entry that tells of it.

    Raises:
        NotFound: there is none with that id.
    """
    found = queries.batch(tx, check_id(batch_id, "bat"))
    if found is None:
        raise NotFound(f"There is no batch {batch_id}.")
    return found


def batches(tx: Transaction, *, model: str | None = None, run_id: str | None = None, limit: int = 100) -> list[Batch]:
    """Return what was registered together, newest first: of a model, by a run, or all."""
    return queries.some_batches(tx, model, run_id, check_limit(limit))


def version(tx: Transaction, version_id: str) -> ModelVersion:
    """Return one version.

    Raises:
        InvalidInput: this is not the id of a version.
        NotFound: there is none with that id.
    """
    found = queries.by_ids(tx, [check_id(version_id, "ver")])
    if not found:
        raise NotFound(f"There is no version {version_id}; `keepwell model versions MODEL` lists those there are.")
    return found[0]


def named_version(tx: Transaction, text: str) -> ModelVersion:
    """Return the version that a person names: its id, `MODEL/SEGMENT/vN`, `MODEL/SEGMENT` (its newest), `MODEL/vN`.

    Raises:
        InvalidInput: the text cannot name one.
        NotFound: there is none.
    """
    if text.startswith("ver_"):
        return version(tx, text)
    name, segment, number = rules.parse_reference(text)
    found = queries.numbered(tx, model(tx, name), segment, number)
    if found is None:
        raise NotFound(
            f"There is no version {ascii(text)[:200]}; `keepwell model versions MODEL` lists those there are."
        )
    return version(tx, found)


def versions_by_id(tx: Transaction, version_ids: Sequence[str]) -> list[ModelVersion]:
    """Return those versions, in the ids' order.

    Raises:
        InvalidInput: one is not the id of a version.
        NotFound: one is not there.
    """
    found = queries.by_ids(tx, version_ids)
    _all_there(version_ids, {v.id for v in found})
    return found


def standings(tx: Transaction, version_ids: Sequence[str]) -> list[Standing]:
    """Return what those versions are now, in the ids' order.

    Raises:
        InvalidInput: one is not the id of a version.
        NotFound: one is not there.
    """
    found = queries.standings(tx, version_ids)
    _all_there(version_ids, {one.id for one in found})
    return found


def packs(tx: Transaction, version_ids: Sequence[str]) -> dict[str, str]:
    """Return version to the digest of the pack that holds its bytes.

    Raises:
        InvalidInput: one is not the id of a version.
        NotFound: one is not there.
    """
    found = queries.packs(tx, version_ids)
    _all_there(version_ids, found)
    return found


def versions_of_batch(tx: Transaction, batch_id: str) -> list[ModelVersion]:
    """Return the versions of a batch, by segment."""
    return queries.of_batch(tx, batch_id)


def ids_of_batch(tx: Transaction, batch_id: str) -> dict[str, str]:
    """Return segment to version of a batch, by segment."""
    return queries.ids_of_batch(tx, batch_id)


def latest_versions(tx: Transaction, model: str) -> dict[str, ModelVersion]:
    """Return the newest version of every segment."""
    return {v.segment: v for v in queries.newest(tx, model)}


def versions(
    tx: Transaction,
    model: str,
    *,
    segment: str | None = None,
    state: str | None = None,
    q: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> VersionPage:
    """Return versions by segment, newest first within it.

    Args:
        tx: a transaction.
        model: name of the model or fleet.
        segment: of this segment only.
        state: in this state only.
        q: a search: parts of the segment's key, a state, a number like `v3`.
        limit: how many, at most 1,000.
        after: id of the last version of the page before.

    Raises:
        InvalidInput: a state, search, limit or page cannot be meant.
    """
    asked = rules.parse_query(q)
    if state is not None:
        rules.check_state(state)
    place = None
    if check_after(after) is not None and after is not None:
        last = version(tx, after)
        if last.model != model:
            raise InvalidInput("This is not a page's 'after'; start again without it.", where="after")
        place = (last.segment, last.number)
    size = check_limit(limit)
    found = queries.page(tx, model, segment=segment, state=state, asked=asked, after=place, limit=size + 1)
    return VersionPage(found[:size], found[size - 1].id if len(found) > size else None)


def champions(tx: Transaction, model: str, environment: str) -> dict[str, Champion]:
    """Return the champion of every segment that has one in an environment."""
    return {c.segment: c for c in queries.holders(tx, model, environment)}


def champion_ids(tx: Transaction, model: str, environment: str) -> dict[str, str]:
    """Return segment to the id of its champion, for every segment that has one in an environment."""
    return queries.champion_ids(tx, model, environment)


def champion(tx: Transaction, model: str, segment: str, environment: str) -> Champion | None:
    """Return the version that answers for a segment in an environment, or None when none was promoted there."""
    found = queries.holders(tx, model, environment, [segment])
    return found[0] if found else None


def champion_history(
    tx: Transaction,
    model: str,
    segment: str | None = None,
    environment: str | None = None,
    *,
    version_id: str | None = None,
    before: int | None = None,
    limit: int = 1_000,
) -> list[Champion]:
    """Return who was champion when, newest first; give the last `seq` as `before` for the next page."""
    return queries.intervals(
        tx,
        model,
        environment=environment,
        segment=segment,
        version=version_id,
        before=before,
        limit=check_limit(limit),
    )


def fleet(
    tx: Transaction,
    model: str,
    environment: str,
    *,
    q: str | None = None,
    state: str | None = None,
    number: int | None = None,
    worst: str | None = None,
    limit: int = 100,
    after: str | None = None,
) -> FleetPage:
    """Return a page of a fleet's members, with newest version and champion.

    Args:
        tx: a transaction.
        model: name of the model or fleet.
        environment: whose champions.
        q: a search: parts of the segment's key, a state, a number like `v3`.
        state: the newest version is in this state.
        number: the newest version has this number.
        worst: a metric: the worst champion (or newest version where there is none) first, unknown ones last.
        limit: how many, at most 1,000.
        after: segment of the last member of the page before.

    Raises:
        InvalidInput: a state, search, limit or page cannot be meant.
    """
    size, place = check_limit(limit), check_after(after)
    asked = rules.narrow(rules.parse_query(q), state, number)
    if worst is None:
        found = fleets.fleet_members(tx, model, environment, asked, place, size + 1)
        last = found[size - 1].segment if len(found) > size else None
        return FleetPage(found[:size], fleets.count_members(tx, model, asked), last)
    ranked = rules.rank(fleets.member_metrics(tx, model, environment, asked), worst)
    start = 0
    if place is not None:
        if place not in ranked:
            raise InvalidInput("This is not a page's 'after'; start again without it.", where="after")
        start = ranked.index(place) + 1
    shown = ranked[start : start + size]
    more = start + size < len(ranked)
    return FleetPage(
        fleets.named_members(tx, model, environment, shown), len(ranked), shown[-1] if shown and more else None
    )


def found_versions(tx: Transaction, model: str, q: str | None = None) -> list[Standing]:
    """Return what the newest versions of all members that a search finds are now, by segment.

    Raises:
        InvalidInput: the search cannot be meant.
    """
    return fleets.found_newest(tx, model, rules.parse_query(q))


def fleet_columns(tx: Transaction, model: str, environment: str) -> FleetColumns:
    """Return a whole fleet as columns, for the loop and for the map."""
    return fleets.fleet_columns(tx, model, environment)


def fleet_standing(tx: Transaction, model: str, environment: str) -> list[MemberStanding]:
    """Return who answers and who wants to in every segment of a fleet, by segment."""
    return fleets.fleet_standing(tx, model, environment)


def state_counts(tx: Transaction, model: str) -> dict[str, int]:
    """Return how many members have a newest version in each state."""
    return fleets.state_counts(tx, model)


def _all_there(wanted: Sequence[str], there: Collection[str]) -> None:
    missing = next((version for version in wanted if version not in there), None)
    if missing is not None:
        check_id(missing, "ver")
        raise NotFound(f"There is no version {missing}; `keepwell model versions MODEL` lists those there are.")
