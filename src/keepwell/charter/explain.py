"""A charter in plain words: what will happen, and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from keepwell.charter.contract import Contract, contract_of
from keepwell.charter.crons import next_moments
from keepwell.charter.findings import listed
from keepwell.charter.gates import all_gates
from keepwell.charter.grammar import Gate
from keepwell.charter.model import Charter
from keepwell.charter.risk import CONCERNS, NAMES, demands_of

Sentence = tuple[str, str]
_WORDS = {"<": "below", "<=": "at most", ">": "above", ">=": "at least"}
_FALLBACK = {"last_champion": "the last champion that still fits", "baseline": "the baseline"}


def explain(charter: Charter, now: datetime | None = None) -> list[Sentence]:
    """Return what a charter makes happen, as (heading, sentence), headings in order and together.

    Args:
        charter: a charter that was checked.
        now: when given, the next moments of its schedules are told.
    """
    return [
        *(("Model", text) for text in _model(charter)),
        *(("Data", text) for text in _data(charter)),
        *(("Training", text) for text in _training(charter, now)),
        *(("Gates", text) for text in _gates(charter)),
        *(("Approvals", text) for text in _approvals(charter)),
        *(("Scoring", text) for text in _scoring(charter, now)),
        *(("Watching", text) for text in _watching(charter)),
        *(("Incidents", text) for text in _incidents(charter)),
    ]


def _model(charter: Charter) -> Iterable[str]:
    owner = charter.owner
    yield f"{charter.model}: {charter.purpose}" if charter.purpose else f"{charter.model}, whose purpose is not said."
    yield f"{owner.business} answers for its use, {owner.technical} for its working."
    if charter.segments:
        yield f"It is a fleet: one model per combination of {listed(charter.segments)} that the data holds."
    else:
        yield "It is one model; as a fleet it has the one member `all`."


def _data(charter: Charter) -> Iterable[str]:
    data = charter.data
    series = f"one series per {listed(data.keys)}" if data.keys else "one series"
    source = f" from {data.source}" if data.source else ", whose files are added by hand"
    every = charter.forecast.every
    yield f"Dataset {data.dataset}{source}: {data.target} by {data.time}, {series}, a row every {every}."
    for join in data.joins:
        yield f"Each row takes {listed(join.columns) or 'all columns'} of {join.source}, found by {listed(join.on)}."
    made = [*(f"{new} from {old}" for old, new in data.rename.items()), *data.derive]
    if made:
        yield f"Conditioning makes {listed(made)}" + (", and sums to one row per keys and time." if data.group else ".")
    known = [
        (data.known_ahead, "known for the future"),
        (data.observed, "known only up to the forecast's origin"),
        (data.static, "the same for a whole series"),
    ]
    parts = [f"{listed(columns)} {'is' if len(columns) == 1 else 'are'} {what}" for columns, what in known if columns]
    if parts:
        yield f"{'; '.join(parts)}."
    if data.movers is not None:
        share = f"{data.movers.share:.0%} of the volume have {data.movers.column}=fast, the others slow"
        yield f"The largest series that together make {share}; judged on training history only."
    if data.delay is not None:
        yield f"A row's {data.target} is known {data.delay} after its {data.time}."


def _training(charter: Charter, now: datetime | None) -> Iterable[str]:
    forecast, retrain, monitor = charter.forecast, charter.retrain, charter.monitor
    learners = listed(forecast.candidates)
    mix = f", averaged from {listed(forecast.ensemble)}" if forecast.ensemble else ", the best one chosen"
    history = f"the newest {forecast.history}" if forecast.history else "all history"
    if charter.pipeline == "forecast":
        yield (
            f"{learners} {'is' if len(forecast.candidates) == 1 else 'are'} fitted on {history}{mix} on the newest "
            + (f"{forecast.hold_back}, for {listed(forecast.horizons)} ahead.")
        )
    else:
        yield f"The pipeline {charter.pipeline} trains."
    triggers = {
        "schedule": f"on the schedule {retrain.schedule} (UTC){_next(retrain.schedule, now)}",
        "new_data": "when new data was accepted",
        "drift": "never for drift, as it is not watched"
        if monitor.drift is None
        else f"when drift passes {monitor.drift:g}",
        "performance": "when performance is worse than its limit"
        if monitor.performance
        else "never for performance, as monitor.performance has no limit",
        "staleness": f"when the champion was trained more than {retrain.stale_after} ago",
        "code": "when the pipeline's code changed",
    }
    for trigger in retrain.on:
        yield f"A segment trains {triggers[trigger]}."
    if not retrain.on:
        yield "Nothing starts a training but a person."
    if "staleness" not in retrain.on:
        yield f"A champion trained more than {retrain.stale_after} ago is stale; that is shown, and trains nothing."
    yield f"It does not train again within {retrain.cool_down}, nor on data with an open incident."
    if retrain.approval == "ask":
        yield "Before a training starts, a person is asked."


def _gates(charter: Charter) -> Iterable[str]:
    yield f"A version is measured by {listed(charter.evaluate.metrics)}, from rolling origins over the newest " + (
        f"{charter.evaluate.last}, against {charter.evaluate.baseline}"
        f"{', by ' + listed(charter.evaluate.slices) if charter.evaluate.slices else ''}."
    )
    demanded = demands_of(charter)
    for concern in CONCERNS:
        risk = getattr(charter.risk, concern)
        yield f"The risk of {NAMES[concern]} is {demanded.levels[concern]}: probability {risk.probability}, " + (
            f"impact {risk.impact}."
        )
    gates = all_gates(charter)
    for gate in gates:
        yield _gate(gate)
    covered = [g for g in demanded.gates if g not in gates]
    for gate in covered:
        yield f"{gate.text} is demanded too, because {gate.why}; a declared gate is at least as strict."
    if not gates:
        yield "No gate is declared or demanded: every version that was measured passes."
    else:
        yield "A gate without evidence is undecided, and undecided never passes."


def _gate(gate: Gate) -> str:
    origin = f"Derived, because {gate.why}" if gate.why else "Declared"
    each = ", in every slice by itself" if gate.each_slice else ""
    if gate.value is not None:
        limit = f"{gate.value:g}"
    else:
        times = "" if gate.factor == 1 else f"{gate.factor:g} times "
        limit = f"{times}the {gate.reference}'s {gate.reference_metric}"
    return f"{origin}: `{gate.text}` - {gate.metric} must be {_WORDS[gate.op]} {limit}{each}."


def _approvals(charter: Charter) -> Iterable[str]:
    demanded = demands_of(charter)
    declared = charter.release.approvals
    for environment in charter.release.environments:
        roles = demanded.approvals.get(environment, ())
        why = demanded.why_approvals.get(environment)
        if declared is None:
            if roles:
                yield f"{environment}: {listed(roles)} must approve. Derived, because {why}."
            else:
                yield f"{environment}: automatic, when all gates pass. Derived: no risk demands more."
            continue
        chosen = declared.get(environment, ())
        said = f"{listed(chosen)} must approve" if chosen else "automatic, when all gates pass"
        override = ""
        if tuple(chosen) != roles:
            wanted = f"approval by {listed(roles)}, because {why}" if roles else "no approval"
            override = f" This overrides what the risk derives: {wanted}."
        yield f"{environment}: {said}. Declared.{override}"
    yield f"A version that cannot be told from the champion is held for {charter.release.hold_windows} windows."
    if charter.release.tie == "refresh":
        yield "After that it takes over if the champion is stale, as it passed its gates and knows newer data."


def _scoring(charter: Charter, now: datetime | None) -> Iterable[str]:
    consumed = charter.consumed
    if consumed.how == "batch":
        yield (
            f"The whole fleet is scored on the schedule {consumed.schedule} (UTC){_next(consumed.schedule, now)}, "
            + (f"{charter.forecast.horizons[0]} ahead.")
        )
    else:
        yield "Predictions are asked for online."
    if charter.fallback:
        steps = ", else ".join(_FALLBACK[f] for f in charter.fallback)
        yield f"For a segment without a fit model, {steps} answers, and the row says so."
    else:
        yield "A segment without a fit model gets no answer."


def _watching(charter: Charter) -> Iterable[str]:
    monitor = charter.monitor
    few = f"fewer than {monitor.min_rows} rows with an outcome are unknown"
    for metric, limit in monitor.performance.items():
        span = f"over the newest {monitor.windows} windows of {monitor.window}"
        yield f"{metric} above {limit:g} {span} is bad; {few}."
    if not monitor.performance:
        yield "Performance is recorded and not judged, as monitor.performance has no limit."
    if monitor.drift is None:
        yield "Drift is not watched."
    else:
        yield f"Drift above {monitor.drift:g} is bad."


def _incidents(charter: Charter) -> Iterable[str]:
    contract = charter.data.contract
    if contract is None:
        yield "No contract: an arriving file is refused only when it cannot be read."
    elif isinstance(contract, str):
        yield f"An arriving file that breaches {contract} is quarantined and opens an incident."
    else:
        yield f"An arriving file is quarantined and opens an incident unless {_contract(contract_of(contract))}."
    if charter.monitor.fresh_within is not None:
        yield f"No arrival for {charter.monitor.fresh_within} opens an incident."
    if charter.monitor.performance:
        yield "Performance past its limit opens an incident, once per cause."


def _contract(contract: Contract) -> str:
    parts = [f"{listed(contract.columns)} {'is' if len(contract.columns) == 1 else 'are'} as declared"]
    if not contract.columns:
        parts = []
    if contract.keys_unique:
        parts.append("keys and time are unique")
    if contract.rows is not None:
        parts.append("the number of rows is as declared")
    if contract.fresh is not None:
        parts.append(f"its newest row is at most {contract.fresh} old")
    parts.extend(f"{name} is true ({text})" for name, text in contract.expressions.items())
    for columns, what in ((contract.outliers, "has no outlier"), (contract.like_history, "is like earlier arrivals")):
        parts.extend(f"{column} {what}" for column in columns)
    if contract.extra_columns == "refuse":
        parts.append("no other column comes")
    return listed(parts) or "it can be read"


def _next(cron: str, now: datetime | None) -> str:
    moments = [] if now is None else next_moments(cron, now, 2)
    if not moments:
        return ""
    return ", next at " + " and ".join(f"{m:%Y-%m-%d %H:%M}" for m in moments)
