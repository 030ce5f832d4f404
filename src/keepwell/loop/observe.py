"""Observe: read everything that a decision rests on into one `State`. What cannot be read stays unknown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from keepwell.charter.model import Charter
from keepwell.charter.risk import all_approvals
from keepwell.core.clock import from_iso
from keepwell.core.errors import Damaged, NotFound
from keepwell.core.spans import parse_span
from keepwell.datasets import service as datasets
from keepwell.datasets.model import DatasetVersion
from keepwell.db import Transaction
from keepwell.flows.kit import Kit
from keepwell.flows.receive import waiting
from keepwell.flows.train import KIND, code_of_training, segments_of
from keepwell.flows.watch import Watched
from keepwell.governance.charters import AppliedCharter
from keepwell.loop import service as ticks
from keepwell.loop import wishes
from keepwell.loop.decisions import Alert, Decision, causes
from keepwell.loop.model import (
    Approval,
    Arriving,
    Compared,
    Gates,
    Health,
    Known,
    Recovery,
    State,
    Training,
    moments,
    unknown_state,
    with_columns,
)
from keepwell.loop.ticks import Tick
from keepwell.models import service as models
from keepwell.models.model import FleetColumns, ModelVersion
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import EVERY_SEGMENT, Incident, SignalKind
from keepwell.monitoring.rules import codes_of
from keepwell.releases import service as releases
from keepwell.releases.model import Verdict
from keepwell.serving import service as serving
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Run

ALERT = "alert"
"""Kind of the incidents that tell a person of a cause; they are over when the cause no longer stands."""
FAILED_OVER = "fail_over"
ASKED = "approval"
"""Kind of the incidents by which a person is asked to let the loop train."""
RUNS = 200
"""So many newest trainings tell which segments' last one failed."""
WHOLE_FLEET: tuple[SignalKind, SignalKind] = ("freshness", "quality")
_GATES = {"passed": Gates.PASSED, "failed": Gates.FAILED, "undecided": Gates.UNDECIDED}
_COMPARED = {"better": Compared.BETTER, "worse": Compared.WORSE, "same": Compared.SAME}
_APPROVAL = {
    "not_asked": Approval.NOT_ASKED,
    "void": Approval.EXPIRED,
    "asked": Approval.ASKED,
    "given": Approval.GIVEN,
    "refused": Approval.REFUSED,
}


@dataclass(frozen=True, slots=True)
class Facts:
    """What one snapshot of the database holds of a fleet.

    Attributes:
        version: the dataset's newest version.
        fleet: members, newest versions, champions in production.
        latest: newest version of each segment.
        verdicts: of newest versions that are not champions.
        approvals: version to where its approval stands.
        previous: segment to the version before its champion.
        packs: champion to the digest of the pack that holds its bytes.
        ever: versions that are or were champions in production, where there are environments before it.
        before: for each environment before production, segment to its champion there.
        incidents: open ones that touch the fleet or its data.
        scored: the newest moment of the schedule that was scored; `silent` the champions that had no answer then.
        failed: segment to the newest training, where that failed.
        asked: the newest request of the loop to let it train, where a person has not answered yet or refused lately.
        wanted: segment to the newest wish of a person that it be trained; `*` stands for every segment.
        alerted: causes that someone was told of; `tick` the newest tick.
    """

    version: DatasetVersion | None
    fleet: FleetColumns
    latest: Mapping[str, ModelVersion]
    verdicts: Mapping[str, Verdict]
    approvals: Mapping[str, str]
    previous: Mapping[str, str | None]
    packs: Mapping[str, str]
    ever: frozenset[str]
    before: Sequence[Mapping[str, str]]
    incidents: Sequence[Incident]
    scored: datetime | None
    silent: frozenset[str]
    failed: Mapping[str, tuple[str, datetime]]
    asked: Incident | None
    wanted: Mapping[str, datetime]
    alerted: frozenset[str]
    tick: str | None


def observe(kit: Kit, applied: AppliedCharter, watched: Watched) -> State:
    """Return the state of a fleet as of now: one read of the database, and a look at the charter's source."""
    charter = applied.charter
    with kit.read() as tx:
        facts = _read(tx, applied, kit.clock.now())
    members = _members(kit, applied, facts)
    state = unknown_state(charter.model, applied.digest, members)
    state = with_columns(state, **_champions(kit, members, facts))
    state = with_columns(state, **_challengers(charter, members, facts, kit.clock.now()))
    state = with_columns(state, **_trainings(charter, members, facts, kit.clock.now()))
    state = with_columns(state, **_signals(members, watched))
    return with_columns(
        state,
        data_latest=facts.version.id if facts.version else None,
        code_latest=code_of_training(),
        incidents=tuple(facts.incidents),
        recoveries=_recoveries(facts, members),
        arrivals=tuple(Arriving(file.uri) for file in waiting(kit, applied)),
        conditioning=Known.NO,
        scoring=Known.NO,
        scored=_scored(facts),
        scored_slot=facts.scored,
        alerted=facts.alerted,
    )


def _read(tx: Transaction, applied: AppliedCharter, now: datetime) -> Facts:
    charter = applied.charter
    *before, production = charter.release.environments
    fleet = models.fleet_columns(tx, charter.model, production)
    latest = models.latest_versions(tx, charter.model)
    candidates = [v for v, c in zip(fleet.version_id, fleet.champion_id, strict=True) if v != c]
    newest = serving.scorings(tx, charter.model, limit=1)
    last = ticks.latest(tx, charter.model)
    incidents = monitoring.open_for(tx, charter.model, [charter.data.dataset])
    return Facts(
        version=datasets.latest(tx, charter.data.dataset),
        fleet=fleet,
        latest=latest,
        verdicts=releases.verdicts(tx, candidates, with_gates=False) if candidates else {},
        approvals=_approvals(tx, applied, [v for v in latest.values() if v.id in set(candidates)]),
        previous=models.previous_versions(tx, charter.model, production, list(fleet.segment)),
        packs=models.packs(tx, [c for c in fleet.champion_id if c]),
        ever=models.ever_champions(tx, charter.model, production) if before else frozenset(),
        before=[models.champion_ids(tx, charter.model, e) for e in before],
        incidents=incidents,
        scored=newest[0].slot if newest else None,
        silent=frozenset(newest[0].silent) if newest else frozenset(),
        failed=_failed(tx, charter),
        asked=next(iter(monitoring.incidents(tx, model=charter.model, kind=ASKED, limit=1)), None),
        wanted=wishes.wanted(tx, charter.model, now),
        alerted=_alerted(last, incidents),
        tick=last.id if last else None,
    )


def _alerted(last: Tick | None, incidents: Sequence[Incident]) -> frozenset[str]:
    """Return the causes that stood at the newest tick and that someone was told of.

    A tick that died after it was recorded told nobody: what it only decided to tell is told again.
    """
    if last is None:
        return frozenset()
    told = {i.cause for i in incidents if i.kind == ALERT}
    untold = {d.cause for d in last.decisions if isinstance(d, Alert)} - told
    return causes(last.decisions) - untold


def _approvals(tx: Transaction, applied: AppliedCharter, versions: Sequence[ModelVersion]) -> dict[str, str]:
    """Return where the approvals of versions stand, for the last environment that wants one."""
    wanting = {e: roles for e, roles in all_approvals(applied.charter).items() if roles}
    if not wanting or not versions:
        return {}
    environment, roles = list(wanting.items())[-1]
    return dict(releases.standing(tx, environment, roles, {v.id: v.artifact for v in versions}, applied.digest))


def _failed(tx: Transaction, charter: Charter) -> dict[str, tuple[str, datetime]]:
    """Return segment to the id and start of its newest training, where that failed; `*` stands for every segment.

    An interrupted training did not fail: it goes on under the key it had.
    """
    newest: dict[str, Run] = {}
    for run in tracking.runs(tx, model=charter.model, kind=KIND, limit=RUNS):
        named = run.params.get("named")
        if run.status == "running" or "*" in newest:
            continue
        for name in named if isinstance(named, list) else ["*"]:
            newest.setdefault(str(name), run)
    return {name: (run.id, from_iso(run.started_at)) for name, run in newest.items() if run.status == "failed"}


def _members(kit: Kit, applied: AppliedCharter, facts: Facts) -> list[str]:
    """Return the fleet's members: the segments that its data holds; without data, those that have versions.

    A segment that the data no longer holds is neither trained nor scored: there is nothing to decide for it.
    """
    if facts.version is None:
        return list(facts.fleet.segment)
    return list(_segments(kit, applied, facts.version.id)) or list(facts.fleet.segment)


def _scored(facts: Facts) -> Known:
    """Tell whether the fleet was ever scored; without data it cannot be, so that is not known."""
    if facts.version is None:
        return Known.UNKNOWN
    return Known.NO if facts.scored is None else Known.YES


def _segments(kit: Kit, applied: AppliedCharter, version_id: str) -> tuple[str, ...]:
    try:
        return segments_of(kit, applied, version_id)
    except NotFound:
        return ()


def _champions(kit: Kit, members: Sequence[str], facts: Facts) -> dict[str, object]:
    champion = dict(zip(facts.fleet.segment, facts.fleet.champion_id, strict=True))
    since = dict(zip(facts.fleet.segment, facts.fleet.champion_since, strict=True))
    there = {pack: _readable(kit, pack) for pack in set(facts.packs.values())}
    over = {segment for i in facts.incidents if i.kind == FAILED_OVER for segment in i.segments}
    ids = [champion.get(s) for s in members]
    broken = {s for s, c in champion.items() if c and (c in facts.silent or not there[facts.packs[c]])}
    return {
        "champion": [Known.YES if c else Known.NO for c in ids],
        "champion_id": ids,
        "champion_since": moments(from_iso(t) if (t := since.get(s)) else None for s in members),
        "can_answer": [Known.NO if s in broken else Known.YES if c else Known.UNKNOWN
                       for s, c in zip(members, ids, strict=True)],
        "failed_over": [Known.YES if s in over else Known.NO for s in members],
        "previous": [Known.YES if facts.previous.get(s) else Known.NO for s in members],
        "previous_id": [facts.previous.get(s) for s in members],
    }  # fmt: skip


def _readable(kit: Kit, pack: str) -> bool:
    """Tell whether a pack's bytes are there and what they were; looked at once a process, and when the file changes."""
    try:
        kit.blobs.path(pack)
    except (NotFound, Damaged):
        return False
    return True


def _challengers(charter: Charter, members: Sequence[str], facts: Facts, now: datetime) -> dict[str, object]:
    fleet = facts.fleet
    place = {s: i for i, s in enumerate(fleet.segment)}
    window = parse_span(charter.monitor.window)
    columns: dict[str, list[object]] = {name: [] for name in (
        "challenger", "challenger_id", "gates", "gates_reason", "compared", "held_windows", "reached", "approval",
    )}  # fmt: skip
    for segment in members:
        i = place.get(segment)
        waits = i is not None and _waits(facts, i)
        verdict = facts.verdicts.get(fleet.version_id[i]) if i is not None and waits else None
        columns["challenger"].append(Known.YES if waits else Known.NO)
        columns["challenger_id"].append(fleet.version_id[i] if i is not None and waits else None)
        columns["gates"].append(_GATES[verdict.outcome] if verdict else Gates.UNKNOWN)
        columns["gates_reason"].append(
            fleet.reason[i] if i is not None and verdict and verdict.outcome != "passed" else None
        )
        columns["compared"].append(_compared(fleet, i) if i is not None and waits else Compared.UNKNOWN)
        since = from_iso(fleet.trained_at[i]) if i is not None and waits else None
        columns["held_windows"].append(-1 if since is None else max(0, (now - since) // window))
        columns["reached"].append(_reached(facts, segment, fleet.version_id[i]) if i is not None and waits else -1)
        asked = facts.approvals.get(fleet.version_id[i], "not_asked") if i is not None and waits else None
        columns["approval"].append(_APPROVAL[asked] if asked else Approval.UNKNOWN)
    return dict(columns)


def _waits(facts: Facts, i: int) -> bool:
    """Tell whether the newest version of the segment at a place of the fleet wants to answer in production.

    One that answers in an environment before it still does, unless it was champion in production and was rolled back.
    Where nothing answers in production, one that failed or was refused there leaves the place to a new one.
    """
    version, champion, state = facts.fleet.version_id[i], facts.fleet.champion_id[i], facts.fleet.state[i]
    if version == champion or state in ("retired", "discarded"):
        return False
    if state != "promoted":
        return True
    if version in facts.ever or _reached(facts, facts.fleet.segment[i], version) < 0:
        return False
    verdict = facts.verdicts.get(version)
    fit = verdict is not None and verdict.outcome == "passed" and facts.approvals.get(version) != "refused"
    return champion is not None or fit


def _reached(facts: Facts, segment: str, version: str) -> int:
    """Return the index of the last environment before production in which a version answers; -1 for none."""
    return max((i for i, there in enumerate(facts.before) if there.get(segment) == version), default=-1)


def _compared(fleet: FleetColumns, i: int) -> Compared:
    against = fleet.facts[i].get("against_champion")
    outcome = against.get("outcome") if isinstance(against, Mapping) else None
    return _COMPARED.get(str(outcome), Compared.UNKNOWN)


def _trainings(charter: Charter, members: Sequence[str], facts: Facts, now: datetime) -> dict[str, object]:
    latest, failed = facts.latest, facts.failed
    state: list[Training] = []
    began: list[datetime | None] = []
    run: list[str | None] = []
    for segment in members:
        version = latest.get(segment)
        broken = failed.get(segment) or failed.get("*")
        if broken and (version is None or version.trained_at < broken[1]):
            state.append(Training.FAILED)
            began.append(broken[1])
            run.append(broken[0])
        else:
            state.append(Training.NEVER if version is None else Training.FINISHED)
            began.append(version.trained_at if version else None)
            run.append(version.run_id if version else None)
    versions = [latest.get(s) for s in members]
    if facts.version is None:
        state = [Training.UNKNOWN] * len(members)
    return {
        "training": state,
        "training_id": run,
        "trained_at": moments(began),
        "trained_data": [v.dataset_version if v else None for v in versions],
        "trained_code": [v.code if v else None for v in versions],
        "train_approval": [_asked(charter, facts.asked, s, now) for s in members],
        "wanted": [Known.YES if wishes.is_wanted(s, facts.wanted, b) else Known.NO
                   for s, b in zip(members, began, strict=True)],
    }  # fmt: skip


def _signals(members: Sequence[str], watched: Watched) -> dict[str, object]:
    columns: dict[str, object] = {}
    for kind in ("performance", "staleness", "drift", "guard"):
        judged = watched.judged.get(kind)
        codes = dict(zip(watched.segments, judged.codes.tolist(), strict=True)) if judged is not None else {}
        columns[kind] = [codes.get(s, Health.UNKNOWN) for s in members]
    freshness, quality = (int(codes_of(watched.fleet, kind, [EVERY_SEGMENT])[0]) for kind in WHOLE_FLEET)
    return {
        **columns,
        "freshness": Health(freshness),
        "quality": Health(quality),
        "signals_id": watched.recording,
    }


def _asked(charter: Charter, asked: Incident | None, segment: str, now: datetime) -> Approval:
    """Return where the approval of a segment's training stands: who closes the request without training refuses it."""
    if asked is None or (asked.segments and segment not in asked.segments):
        return Approval.NOT_ASKED
    if asked.state == "open":
        return Approval.ASKED
    person = asked.closed_by is not None and not asked.closed_by.startswith("loop:")
    lately = asked.closed_at is not None and asked.closed_at + parse_span(charter.retrain.cool_down) > now
    return Approval.REFUSED if person and lately else Approval.NOT_ASKED


def _recoveries(facts: Facts, members: Sequence[str]) -> tuple[Recovery, ...]:
    """Return what shows that incidents of the fleet's own are over."""
    champion = dict(zip(facts.fleet.segment, facts.fleet.champion_id, strict=True))
    found: list[Recovery] = []
    for i in facts.incidents:
        if i.kind == ALERT and facts.tick is not None and i.cause not in facts.alerted:
            found.append(Recovery(i.id, "What it told of no longer stands.", (facts.tick,)))
        elif i.kind == FAILED_OVER:
            gone = set(i.cause.removeprefix(f"{FAILED_OVER}:").split(","))
            now = [c for s in i.segments if (c := champion.get(s))]
            if not gone.intersection(now):
                found.append(Recovery(i.id, "Other versions answer now.", tuple(now) or (i.id,)))
        elif i.kind == ASKED:
            trained = [v for s in i.segments or members if (v := facts.latest.get(s)) and v.trained_at >= i.opened_at]
            if len(trained) == len(i.segments or members):
                found.append(Recovery(i.id, "It was trained.", tuple(v.id for v in trained)))
    return tuple(found)


def over(state: State, decisions: Sequence[Decision]) -> bool:
    """Tell whether an alert is open whose cause no longer stands after these decisions: the next round closes it."""
    standing = causes(decisions)
    return any(i.kind == ALERT and i.cause not in standing for i in state.incidents or ())
