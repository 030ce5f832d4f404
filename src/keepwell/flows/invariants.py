"""The invariants that `fsck` checks, as queries over one snapshot. Each yields (invariant, subject, what is wrong)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import msgspec
from sqlalchemy import (
    Column,
    ColumnClause,
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    column,
    func,
    inspect,
    literal_column,
    not_,
    or_,
    select,
    table,
    type_coerce,
)

from keepwell.datasets import store as datasets
from keepwell.db import Transaction
from keepwell.db.engine import Backend
from keepwell.flows.invariants_runs import rows_of_runs
from keepwell.governance import charters_store as charters
from keepwell.governance import identity_store as identity
from keepwell.ledger import checkpoints, rules
from keepwell.ledger import store as ledger_store
from keepwell.ledger.export import check
from keepwell.models import registry_store as registry
from keepwell.models import store as models
from keepwell.monitoring import store as monitoring
from keepwell.releases import store as releases
from keepwell.serving import store as serving
from keepwell.tracking import tables as tracking
from keepwell.tracking.model import ENDED

Wrong = tuple[str, str, str]
_ENTRIES = ledger_store.entries
_TICKS = table("loop_ticks", column("id"), column("model"), column("number"))
"""The loop lies above: its table is named, not imported."""


class Slice(NamedTuple):
    """Where a version's bytes lie in its pack, and what they hash to."""

    version: str
    artifact: str
    offset: int
    length: int


def all_of_rows(tx: Transaction, backend: Backend, *, deep: bool) -> Iterator[Wrong]:
    """Check the rows of every capability."""
    yield from database(tx, backend, deep=deep)
    yield from numbers(tx)
    yield from members(tx)
    yield from holders(tx)
    yield from promotions(tx)
    yield from labels(tx)
    yield from effects(tx)
    yield from answers(tx)
    yield from rows_of_runs(tx, deep=deep)


def database(tx: Transaction, backend: Backend, *, deep: bool) -> Iterator[Wrong]:
    """What is stored is sound, and every reference between rows holds."""
    for subject, wrong in backend.unsound(tx, deep=deep):
        yield "database", subject, wrong


def ledger(tx: Transaction, home: Path, *, deep: bool) -> Iterator[Wrong]:
    """I4: numbers without gap, chain, checkpoints, tree; one outbox row an entry; nothing was turned back."""
    count, first, last = tx.execute(select(func.count(), func.min(_ENTRIES.c.seq), func.max(_ENTRIES.c.seq))).one()
    if count and (first, last) != (1, count):
        yield "I4", "ledger:entries", f"Numbers run from {first} to {last} over {count} entries: some are missing."
    yield from _beside(tx)
    yield from _kept(tx, home, last or 0, deep=deep)
    tree = ledger_store.read_frontier(tx)
    signed = ledger_store.last_checkpoint(tx)
    if signed and signed.size == tree.size and rules.root(tree) != signed.root:
        yield "I4", "ledger:tree", "The summed-up tree is not the one that the last checkpoint signed."
    if deep and tree != rules.extend(rules.Frontier(), ledger_store.hashes(tx, 0, tree.size)):
        yield "I4", "ledger:tree", "The summed-up tree does not fit the entries; checkpoints made from it are wrong."
    known = ledger_store.all_keys(tx)
    if known and not (home / "keys" / f"ledger-{known[-1].key}.key").is_file():
        yield (
            "I4",
            f"key:{known[-1].key}",
            "The key that signs checkpoints is lost; see 'keepwell audit rotate --lost'.",
        )


def _beside(tx: Transaction) -> Iterator[Wrong]:
    """What lies beside the entries belongs to them."""
    outbox, notes = ledger_store.outbox, ledger_store.notes
    for what, beside, subject in (("outbox row", outbox, "outbox"), ("note", notes, "notes")):
        stray = select(func.count()).select_from(beside.outerjoin(_ENTRIES, _ENTRIES.c.seq == beside.c.seq))
        if n := tx.scalar(stray.where(_ENTRIES.c.seq.is_(None))):
            yield "I4", f"ledger:{subject}", f"{n} {what}s belong to no entry."
    lacking = select(func.count()).select_from(_ENTRIES.outerjoin(outbox, outbox.c.seq == _ENTRIES.c.seq))
    if n := tx.scalar(lacking.where(outbox.c.seq.is_(None))):
        yield "I4", "ledger:outbox", f"{n} entries never were put in the outbox."


def _kept(tx: Transaction, home: Path, last: int, *, deep: bool) -> Iterator[Wrong]:
    """The ledger verifies, and reaches at least as far as the checkpoint that is kept outside of the database."""
    place = home / "checkpoint.json"
    held: Mapping[str, object] | None = None
    if place.exists():
        size = checkpoints.kept_size(place)
        if size is None:
            yield "I4", "ledger:checkpoint", f"{place} is damaged; 'keepwell audit checkpoint' writes it anew."
        elif size > last:
            yield (
                "I4",
                "ledger:checkpoint",
                f"The ledger ends at entry {last}, and a checkpoint over {size} was signed: an older database was "
                f"restored, or its end was cut off. If that was meant, move {place} away.",
            )
        else:
            held = json.loads(place.read_bytes())
    if deep:
        report = check(tx, held)
        if not report.ok:
            yield "I4", f"entry:{report.first_bad}" if report.first_bad else "ledger:entries", f"{report.what}."


def numbers(tx: Transaction) -> Iterator[Wrong]:
    """I3: the numbers of versions are 1, 2, 3 ... without a gap."""
    d, c, a = datasets.versions.c, charters.charters.c, datasets.arrivals.c
    numbered: list[tuple[str, Column[int] | ColumnClause[int], tuple[ColumnElement[str], ...]]] = [
        ("dataset_versions", d.number, (d.dataset,)),
        ("charters", c.number, (c.model_key,)),
        ("dataset_arrivals", a.seq, (a.dataset,)),
    ]
    if _has_ticks(tx):
        numbered.append(("loop_ticks", _TICKS.c.number, (_TICKS.c.model,)))
    for name, number, groups in numbered:
        query = select(*groups, func.count(), func.min(number), func.max(number)).group_by(*groups)
        gap = or_(func.count() != func.max(number), func.min(number) != 1)
        for *names, count, low, high in tx.execute(query.having(gap)):
            subject = f"{name}:{' '.join(map(str, names))}"
            yield "I3", subject, f"Numbers run from {low} to {high} over {count} rows: some are missing or doubled."
    yield from _given(tx)
    child, parent = datasets.versions.alias("child"), datasets.versions.alias("parent")
    before = and_(parent.c.dataset == child.c.dataset, parent.c.number == child.c.number - 1)
    torn = select(child.c.id).select_from(child.outerjoin(parent, before))
    for (version,) in tx.execute(torn.where(func.coalesce(child.c.parent, "") != func.coalesce(parent.c.id, ""))):
        yield "I3", f"dataset_version:{version}", "Its parent is not the version before it."


def members(tx: Transaction) -> Iterator[Wrong]:
    """I3: a batch has as many versions as it says; a member's newest version is the one with the largest number."""
    count = select(models.versions.c.batch, func.count().label("n")).group_by(models.versions.c.batch).subquery()
    joined = models.batches.outerjoin(count, count.c.batch == models.batches.c.id)
    query = select(models.batches.c.id, models.batches.c.count, count.c.n).select_from(joined)
    for batch, said, found in tx.execute(query.where(func.coalesce(count.c.n, 0) != models.batches.c.count)):
        yield "I3", f"batch:{batch}", f"It says that it has {said} versions and has {found or 0}."
    of, v = models.members, models.versions.c
    live = case((v.deleted_at.is_(None), v.number))
    newest = (
        select(v.model, v.segment, func.max(live).label("number"), func.count(live).label("versions"))
        .group_by(v.model, v.segment)
        .subquery()
    )
    same = and_(newest.c.model == of.c.model, newest.c.segment == of.c.segment)
    last = models.versions.alias("last")
    rows = of.outerjoin(newest, same).outerjoin(last, last.c.id == of.c.latest)
    number = func.coalesce(newest.c.number, 0)
    wrong = or_(
        of.c.number != number,
        func.coalesce(last.c.number, 0) != number,
        func.coalesce(newest.c.versions, 0) != of.c.versions,
    )
    for model, segment in tx.execute(select(of.c.model, of.c.segment).select_from(rows).where(wrong)):
        yield "I3", f"member:{model} {segment}", "Its newest version is not the one that the fleet's list names."
    listed = select(newest.c.model, newest.c.segment).select_from(newest.outerjoin(of, same))
    for model, segment in tx.execute(listed.where(of.c.segment.is_(None))):
        yield "I3", f"member:{model} {segment}", "It has versions and is not in the fleet's list."


def _given(tx: Transaction) -> Iterator[Wrong]:
    """I3: the numbers of a member's versions, tombstones included, have no gap and end at the last one ever given."""
    of, v = models.members.c, models.versions.c
    same = and_(v.model == of.model, v.segment == of.segment)
    query = (
        select(of.model, of.segment, of.first, of.last, func.count(v.id), func.min(v.number), func.max(v.number))
        .select_from(models.members.outerjoin(models.versions, same))
        .group_by(of.model, of.segment, of.first, of.last)
    )
    whole = and_(
        func.min(v.number) == of.first, func.max(v.number) == of.last, func.count(v.id) == of.last - of.first + 1
    )
    gap = and_(func.count(v.id) > 0, not_(whole))  # a name whose model was renamed keeps its numbers, without rows
    for model, segment, first, end, count, low, high in tx.execute(query.having(gap)):
        subject = f"model_versions:{model} {segment}"
        wrong = f"Numbers {first} to {end} were given, and {count} rows run from {low} to {high}: some are missing."
        yield "I3", subject, wrong


def holders(tx: Transaction) -> Iterator[Wrong]:
    """I5: one champion a segment and environment; it is the one of the last change; states say the same."""
    c = models.champions.c
    place = (c.model, c.environment, c.segment)
    holding: ColumnElement[int] = func.sum(literal_column("CASE WHEN until IS NULL THEN 1 ELSE 0 END"))
    query = select(*place, holding).group_by(*place).having(holding != 1)
    for model, environment, segment, n in tx.execute(query):
        yield "I5", f"champion:{model} {segment} {environment}", f"It has {n} champions at once; there must be one."
    later = models.champions.alias("later")
    after = and_(
        later.c.model == c.model,
        later.c.environment == c.environment,
        later.c.segment == c.segment,
        later.c.seq > c.seq,
    )
    stale = select(*place).select_from(models.champions.join(later, after)).where(c.until.is_(None)).distinct()
    for model, environment, segment in tx.execute(stale):
        yield "I5", f"champion:{model} {segment} {environment}", "Its champion is not that of the last promotion."
    holder = select(c.version_id).where(c.until.is_(None))
    v = models.versions.c
    wrong = or_(and_(v.state == "promoted", v.id.not_in(holder)), and_(v.state != "promoted", v.id.in_(holder)))
    for version, state in tx.execute(select(v.id, v.state).where(wrong)):
        yield "I5", f"version:{version}", f"Its state is {state!r}, and the table of champions says otherwise."
    other = and_(models.champions.c.version_id == v.id, or_(c.model != v.model, c.segment != v.segment))
    for (version,) in tx.execute(select(v.id).select_from(models.versions.join(models.champions, other))):
        yield "I5", f"version:{version}", "It is champion of a model or segment that is not its own."


def labels(tx: Transaction) -> Iterator[Wrong]:
    """I5: what an alias names and in which stage a version is, is what the last change said; deleted ones hold none."""
    v, alias, stage = models.versions, registry.aliases, registry.stages
    told = {
        seq: (body.get("version"), body.get("number"))
        for seq, _, _, body in _told(tx, ["model.alias_set"])
    }  # fmt: skip
    found = {seq: (version, n) for seq, version, n in tx.execute(select(alias.c.seq, alias.c.version, alias.c.number))}
    for seq in sorted(found.keys() | told.keys()):
        if found.get(seq) != told.get(seq):
            yield "I5", f"entry:{seq}", "The alias does not name what this entry of the ledger says."
    later = alias.alias("later")
    after = and_(later.c.model == alias.c.model, later.c.key == alias.c.key, later.c.seq > alias.c.seq)
    stale = select(alias.c.model, alias.c.alias).select_from(alias.join(later, after)).where(alias.c.until.is_(None))
    for model, name in tx.execute(stale.distinct()):
        yield "I5", f"alias:{model} {name}", "It does not name what it was set to last."
    for kept, what in ((alias, "alias"), (stage, "stage")):
        held = kept.join(v, v.c.id == kept.c.version)
        wrong = or_(v.c.deleted_at.is_not(None), v.c.model != kept.c.model, v.c.number != kept.c.number)
        for (version,) in tx.execute(select(v.c.id).select_from(held).where(kept.c.until.is_(None), wrong)):
            yield "I5", f"version:{version}", f"Its {what} is held though it is deleted or another's."
    now = select(stage.c.version, stage.c.stage).where(stage.c.until.is_(None)).subquery()
    d = registry.details
    apart = select(d.c.version).select_from(d.outerjoin(now, now.c.version == d.c.version))
    for (version,) in tx.execute(apart.where(func.coalesce(now.c.stage, "None") != d.c.stage)):
        yield "I5", f"version:{version}", "Its stage is not the one that the last change set."


def promotions(tx: Transaction) -> Iterator[Wrong]:
    """I4 and I5: each promotion and roll-back has its entry, which counts as many champions as there are."""
    c = models.champions.c
    rows = select(c.seq, c.model, c.environment, c.cause, func.count()).group_by(c.seq, c.model, c.environment, c.cause)
    found = {
        seq: (f"model:{model}".casefold(), environment, cause, n)
        for seq, model, environment, cause, n in tx.execute(rows)
    }
    kinds = {"model.promoted": "promotion", "model.rolled_back": "rollback"}
    told = {
        seq: (subject.casefold(), body["environment"], kinds[kind], body["count"])
        for seq, kind, subject, body in _told(tx, list(kinds))
    }
    for seq in sorted(found.keys() | told.keys()):
        if found.get(seq) != told.get(seq):
            yield "I5", f"entry:{seq}", "The champions are not those that this entry of the ledger made."


def effects(tx: Transaction) -> Iterator[Wrong]:
    """I4: what is there has its entry in the ledger, and what an entry says was made is there."""
    arrivals, verdicts, approvals = datasets.arrivals.c, releases.verdicts.c, releases.approvals.c
    settled = arrivals.state.in_(("released", "rejected"))
    runs, incidents = tracking.runs.c, monitoring.incidents.c
    came = ["dataset.arrival_accepted", "dataset.arrival_quarantined"]
    settling = ["dataset.arrival_released", "dataset.arrival_rejected"]
    made = [kind for (kind,) in tx.execute(_kinds("identity.%_made")) if kind != "identity.owner_made"]
    owned = select(func.distinct(charters.charters.c.model))
    for what, rows, kinds, field in (
        ("dataset_version", select(datasets.versions.c.id), ["dataset.version_added"], "version"),
        ("arrival", select(arrivals.id), came, None),
        ("settled arrival", select(arrivals.id).where(settled), settling, None),
        ("batch", select(models.batches.c.id), ["model.batch_registered"], "batch"),
        ("incident", select(incidents.id), ["incident.opened"], None),
        ("closed incident", select(incidents.id).where(incidents.state == "closed"), ["incident.closed"], None),
        ("scoring", select(serving.scorings.c.id), ["scoring.published"], None),
        ("charter", owned, ["charter.applied"], None),
        ("token", select(identity.credentials.c.id), made, None),
        ("person", select(identity.people.c.id), ["identity.owner_made"], "subject"),
        ("verdict", select(func.distinct(verdicts.seq)), ["model.gates_judged"], "seq"),
    ):
        yield from _both(what, set(tx.scalars(rows)), _ids(tx, kinds, field))
    for what, ids, began, erased in (
        ("run", select(runs.id), "run.started", "run.erased"),
        (
            "experiment",
            select(tracking.experiments.c.id).where(tracking.experiments.c.id != 0),
            "experiment.created",
            "experiment.erased",
        ),
        ("logged_model", select(tracking.models.c.id), "logged_model.created", "logged_model.erased"),
    ):
        there: set[object] = {str(one) for one in tx.scalars(ids)}
        yield from _both(what, there, _ids(tx, [began], None) - _ids(tx, [erased], None))
    ended = set(tx.scalars(select(runs.id).where(runs.status.in_(ENDED))))
    for one in sorted(ended - _ids(tx, ["run.finished"], None)):
        yield "I4", f"finished run:{one}", "It is there, and no entry of the ledger tells of it."
    if _has_ticks(tx):
        yield from _both("tick", set(tx.scalars(select(_TICKS.c.id))), _ids(tx, ["loop.tick"], "tick"))
    asked = set(tx.scalars(select(func.distinct(approvals.seq))))
    yield from _both("approval", asked, asked & {seq for seq, *_ in _told(tx, None, "model.approval")})


def answers(tx: Transaction) -> Iterator[Wrong]:
    """I6: every remembered answer can be read again."""
    t = ledger_store.idempotency.c
    for actor, key, request, answer in tx.execute(select(t.actor, t.key, t.request, type_coerce(t.answer, Text))):
        try:
            if answer is not None:
                msgspec.json.decode(answer)
            good = str(request).startswith("sha256:")
        except (msgspec.DecodeError, TypeError):
            good = False
        if not good:
            yield "I6", f"key:{actor} {key}", "The remembered answer of this call cannot be read; retries would fail."


def slices(tx: Transaction) -> dict[str, list[Slice]]:
    """Return for every pack the versions whose bytes it holds."""
    v = models.versions.c
    joined = models.versions.join(models.batches, models.batches.c.id == v.batch)
    found: dict[str, list[Slice]] = {}
    query = select(models.batches.c.pack, v.id, v.artifact, v.offset, v.length).select_from(joined)
    query = query.where(models.batches.c.freed_at.is_(None))
    for pack, *rest in tx.execute(query):
        found.setdefault(pack, []).append(Slice(*rest))
    return found


def _has_ticks(tx: Transaction) -> bool:
    return inspect(tx).has_table("loop_ticks")


def _both(what: str, there: set[object], told: set[object]) -> Iterator[Wrong]:
    for one in sorted(map(str, there - told)):
        yield "I4", f"{what}:{one}", "It is there, and no entry of the ledger tells of it."
    for one in sorted(map(str, told - there)):
        yield "I4", f"{what}:{one}", "An entry of the ledger tells of it, and it is not there."


def _ids(tx: Transaction, kinds: list[str], field: str | None) -> set[object]:
    """Return what entries tell of: a field of the body, the subject (whole, or after its colon), or their number."""
    found: set[object] = set()
    for seq, _, subject, body in _told(tx, kinds):
        match field:
            case None:
                found.add(subject.partition(":")[2])
            case "subject":
                found.add(subject)
            case "seq":
                found.add(seq)
            case _:
                found.add(body.get(field))
    return found


def _told(
    tx: Transaction, kinds: list[str] | None, prefix: str = ""
) -> Iterator[tuple[int, str, str, dict[str, object]]]:
    query = select(_ENTRIES.c.seq, _ENTRIES.c.kind, _ENTRIES.c.subject, _ENTRIES.c.body)
    where = _ENTRIES.c.kind.in_(kinds) if kinds is not None else _ENTRIES.c.kind.startswith(prefix)
    for seq, kind, subject, body in tx.execute(query.where(where).order_by(_ENTRIES.c.seq)):
        try:
            yield seq, kind, subject, msgspec.json.decode(body, type=dict[str, object])
        except msgspec.DecodeError:
            continue  # the chain's check names it


def _kinds(like: str) -> Select[str]:
    return select(func.distinct(_ENTRIES.c.kind)).where(_ENTRIES.c.kind.like(like))
