"""What a charter's parts must be to each other: every rule adds its findings, none stops the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date

from keepwell.charter.crons import check_cron
from keepwell.charter.findings import listed, nearest, shown
from keepwell.charter.grammar import FORMS, Gate, parse_gate
from keepwell.charter.model import BASELINES, CANDIDATES, HOLIDAY_CALENDARS, METRICS, Charter
from keepwell.charter.risk import demands_of
from keepwell.charter.shape import Findings, Path
from keepwell.core.errors import InvalidInput
from keepwell.core.names import check_name, name_key
from keepwell.core.spans import parse_span, show_span

_OWN = re.compile(r"(?P<file>[^:\0]+\.py):(?P<function>[A-Za-z_][A-Za-z0-9_]*)\Z")


def check_rules(into: Findings, charter: Charter) -> None:
    """Add everything that is wrong between the parts of a charter, but for its columns (see `columns.py`)."""
    for rule in (_names, _spans, _crons, _lists, _metrics, _gates, _forecast, _release, _retrain, _risk):
        rule(into, charter)


def _names(into: Findings, charter: Charter) -> None:
    named: list[tuple[Path, str, str]] = [
        (("model",), charter.model, "model"),
        (("data", "dataset"), charter.data.dataset, "dataset"),
        *((("release", "environments", i), e, "environment") for i, e in enumerate(charter.release.environments)),
        *((("forecast", "own", name), name, "candidate") for name in charter.forecast.own),
        *(
            (("release", "approvals", env, i), role, "role")
            for env, roles in (charter.release.approvals or {}).items()
            for i, role in enumerate(roles)
        ),
    ]
    for path, name, what in named:
        judge(into, path, lambda name=name, what=what: check_name(name, what), "Choose another name.")  # type: ignore[misc]


def _spans(into: Findings, charter: Charter) -> None:
    spans: list[tuple[Path, str | None]] = [
        (("forecast", "every"), charter.forecast.every),
        *((("forecast", "horizons", i), h) for i, h in enumerate(charter.forecast.horizons)),
        (("forecast", "history"), charter.forecast.history),
        (("forecast", "hold_back"), charter.forecast.hold_back),
        (("evaluate", "last"), charter.evaluate.last),
        (("retrain", "stale_after"), charter.retrain.stale_after),
        (("retrain", "cool_down"), charter.retrain.cool_down),
        (("monitor", "window"), charter.monitor.window),
        (("monitor", "fresh_within"), charter.monitor.fresh_within),
        (("data", "delay"), charter.data.delay),
    ]
    for path, text in spans:
        if text is not None:
            judge(into, path, lambda text=text: parse_span(text), "Write a number and a unit, like '60d'.")  # type: ignore[misc]


def _crons(into: Findings, charter: Charter) -> None:
    right = "Write minute, hour, day of month, month and day of week, like '0 5 * * MON'; in UTC."
    judge(into, ("consumed", "schedule"), lambda: check_cron(charter.consumed.schedule), right)
    judge(into, ("retrain", "schedule"), lambda: check_cron(charter.retrain.schedule), right)


def _lists(into: Findings, charter: Charter) -> None:
    """No list names a thing twice; environments that differ in case only are one."""
    data, forecast, evaluate = charter.data, charter.forecast, charter.evaluate
    lists: list[tuple[Path, Sequence[str]]] = [
        (("segments",), charter.segments),
        (("data", "keys"), data.keys),
        (("data", "known_ahead"), data.known_ahead),
        (("data", "observed"), data.observed),
        (("data", "static"), data.static),
        (("forecast", "horizons"), forecast.horizons),
        (("forecast", "candidates"), forecast.candidates),
        (("forecast", "ensemble"), forecast.ensemble),
        (("forecast", "holidays"), forecast.holidays),
        (("evaluate", "metrics"), evaluate.metrics),
        (("evaluate", "slices"), evaluate.slices),
        (("gates",), [" ".join(gate.split()) for gate in charter.gates]),
        (("release", "environments"), [name_key(e) for e in charter.release.environments]),
        (("retrain", "on"), charter.retrain.on),
        (("fallback",), charter.fallback),
        *((("release", "approvals", e), roles) for e, roles in (charter.release.approvals or {}).items()),
    ]
    for path, values in lists:
        if not into.clean(path):
            continue
        for i, value in enumerate(values):
            if value in values[:i]:
                into.add((*path, i), f"{shown(value)} is in the list twice.", "Keep one of the two.")


def _metrics(into: Findings, charter: Charter) -> None:
    for i, metric in enumerate(charter.evaluate.metrics):
        if metric not in METRICS:
            into.add(("evaluate", "metrics", i), f"{shown(metric)} is not a metric.", nearest(metric, METRICS))
    for metric in charter.monitor.performance:
        path = ("monitor", "performance", metric)
        if metric not in METRICS:
            into.add(path, f"{shown(metric)} is not a metric.", nearest(metric, METRICS))
    baseline = charter.evaluate.baseline
    if baseline not in BASELINES:
        into.add(("evaluate", "baseline"), f"{shown(baseline)} is not a baseline.", nearest(baseline, BASELINES))


def _gates(into: Findings, charter: Charter) -> None:
    measured = charter.evaluate.metrics
    for i, text in enumerate(charter.gates):
        path = ("gates", i)
        try:
            gate = parse_gate(text)
        except InvalidInput as error:
            wrong, _, right = error.message.partition(". ")
            into.add(path, f"{wrong}.", right or FORMS)
            continue
        for metric in _metrics_of(gate):
            if metric not in measured and into.clean(("evaluate", "metrics")):
                wrong = f"It judges {metric}, which evaluate.metrics does not measure, so it could never pass."
                into.add(path, wrong, f"Add {metric} to evaluate.metrics, or judge {listed(measured)}.")
        if gate.each_slice and not charter.evaluate.slices and not charter.segments:
            into.add(
                path, "It judges every slice, but there is none.", "Name columns in evaluate.slices.", warning=True
            )


def _metrics_of(gate: Gate) -> list[str]:
    return list(dict.fromkeys((gate.metric, gate.reference_metric or gate.metric)))


def _forecast(into: Findings, charter: Charter) -> None:
    forecast = charter.forecast
    known = (*CANDIDATES, *forecast.own)
    for name, place in forecast.own.items():
        path = ("forecast", "own", name)
        if name in CANDIDATES:
            into.add(path, f"{shown(name)} is a built-in candidate.", "Give your own another name.")
        match = _OWN.match(place)
        if match is None or match["file"].startswith(("/", "\\")) or ".." in re.split(r"[/\\]", match["file"]):
            wrong = f"{shown(place)} does not name a function beside the charter."
            into.add(path, wrong, "Write file.py:function, the file relative to the charter's folder.")
    for i, name in enumerate(forecast.candidates):
        if name not in known:
            into.add(("forecast", "candidates", i), f"{shown(name)} is not a candidate.", nearest(name, known))
    _ensemble(into, charter)
    for i, text in enumerate(forecast.holidays):
        if text.upper() not in HOLIDAY_CALENDARS and not _is_date(text):
            right = f"Write a date like 2026-12-24, or {' or '.join(HOLIDAY_CALENDARS)}."
            into.add(("forecast", "holidays", i), f"{shown(text)} is not a date.", right)
    _steps(into, charter)
    pipeline = charter.pipeline
    if pipeline != "forecast" and not _OWN.match(pipeline):
        right = "Write forecast for the built-in pipeline, or file.py:function."
        into.add(("pipeline",), f"{shown(pipeline)} is not a pipeline.", right)


def _ensemble(into: Findings, charter: Charter) -> None:
    forecast = charter.forecast
    if not into.clean(("forecast", "candidates")):
        return
    if not into.written("forecast", "ensemble"):
        missing = [name for name in forecast.ensemble if name not in forecast.candidates]
        if missing:
            wrong = f"The default ensemble [{', '.join(forecast.ensemble)}] has {listed(missing)}, no candidate here."
            right = "Write `ensemble: [...]` with names of forecast.candidates, or `ensemble: []` for none."
            into.add(("forecast", "ensemble"), wrong, right)
        return
    for i, name in enumerate(forecast.ensemble):
        if name not in forecast.candidates:
            wrong = f"{shown(name)} is not among forecast.candidates, so it is never fitted."
            right = nearest(name, forecast.candidates, "The candidates are")
            if name in (*CANDIDATES, *forecast.own):
                right = f"Add {name} to forecast.candidates, or take it out here."
            into.add(("forecast", "ensemble", i), wrong, right)


def _steps(into: Findings, charter: Charter) -> None:
    """Every span that is counted in steps is a whole number of them."""
    if not into.clean(("forecast", "every")):
        return
    forecast, every = charter.forecast, parse_span(charter.forecast.every)
    counted: list[tuple[Path, str | None]] = [
        *((("forecast", "horizons", i), h) for i, h in enumerate(forecast.horizons)),
        (("forecast", "history"), forecast.history),
        (("forecast", "hold_back"), forecast.hold_back),
        (("evaluate", "last"), charter.evaluate.last),
        (("monitor", "window"), charter.monitor.window),
    ]
    for path, text in counted:
        if text is None or not into.clean(path):
            continue
        span = parse_span(text)
        if span % every:
            below = max(1, span // every)
            wrong = f"{text} is not a whole number of steps of forecast.every ({forecast.every})."
            into.add(path, wrong, f"Write a multiple of {forecast.every}, such as {_times(forecast.every, below)}.")


def _times(every: str, count: int) -> str:
    return show_span(parse_span(every) * count)


def _release(into: Findings, charter: Charter) -> None:
    environments = charter.release.environments
    for environment in charter.release.approvals or {}:
        if environment not in environments and into.clean(("release", "environments")):
            wrong = f"{shown(environment)} is not an environment of this charter."
            right = nearest(environment, environments, "Its environments are")
            into.add(("release", "approvals", environment), wrong, right)


def _retrain(into: Findings, charter: Charter) -> None:
    retrain, on = charter.retrain, charter.retrain.on
    if not into.clean(("retrain",)):
        return
    if into.written("retrain", "schedule") and "schedule" not in on:
        right = "Add schedule to retrain.on, or remove the line."
        into.add(("retrain", "schedule"), "It has no effect: schedule is not in retrain.on.", right, warning=True)
    if into.written("retrain", "on") and "performance" in on and not charter.monitor.performance:
        right = "Name a limit, such as `monitor: {performance: {wmape: 0.25}}`, or take performance out."
        into.add(("retrain", "on"), "performance can never start a training: monitor.performance has no limit.", right,
                 warning=True)  # fmt: skip
    if into.written("retrain", "on") and "drift" in on and charter.monitor.drift is None:
        right = "Set monitor.drift, such as 0.25, or take drift out."
        into.add(("retrain", "on"), "drift can never start a training: monitor.drift is off.", right, warning=True)
    if parse_span(retrain.stale_after) < parse_span(retrain.cool_down):
        wrong = f"A model is stale after {retrain.stale_after}, but not trained again for {retrain.cool_down}."
        path = ("retrain", "stale_after" if into.written("retrain", "stale_after") else "cool_down")
        into.add(path, wrong, "Let stale_after be longer than cool_down.", warning=True)


def _risk(into: Findings, charter: Charter) -> None:
    """What the risk demands and cannot be derived is asked for."""
    demanded = demands_of(charter)
    if demanded.fallback is not None and not charter.fallback:
        wrong = f"There is no fallback, but {demanded.fallback}."
        into.add(("fallback",), wrong, "Write `fallback: [last_champion, baseline]`.")
    if demanded.levels["decay"] == "high" and not charter.monitor.performance:
        wrong = "The risk of silent decay is high, but monitor.performance has no limit to tell it by."
        right = "Name one, such as `monitor: {performance: {wmape: 0.25}}`."
        into.add(("monitor", "performance"), wrong, right, warning=True)


def judge(into: Findings, path: Path, check: Callable[[], object], right: str) -> None:
    """Add the finding that a check of one value raises; its message may say what is right after a colon."""
    try:
        check()
    except InvalidInput as error:
        wrong, colon, advice = error.message.partition(": ")
        advice = advice[:1].upper() + advice[1:]
        into.add(path, f"{wrong.rstrip('.')}.", advice if colon and advice.endswith(".") else right)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
