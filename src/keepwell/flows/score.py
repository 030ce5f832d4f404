"""Score a whole fleet at once: every live series, for the steps to come, with the version that made each row.

A segment whose champion cannot answer falls back as the charter says, to the champion before, then to the baseline,
and its rows say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, timedelta
from pathlib import Path

from keepwell.charter.model import Charter
from keepwell.core import failpoints
from keepwell.core.clock import iso
from keepwell.core.errors import Unavailable
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span
from keepwell.datasets.model import DatasetVersion, Form
from keepwell.datasets.parts import encode
from keepwell.db import Transaction
from keepwell.flows.ahead import with_future
from keepwell.flows.answers import readable
from keepwell.flows.frames import frame_of, last_known, latest_version
from keepwell.flows.kit import Kit
from keepwell.flows.publish import publish
from keepwell.forecasting.service import forecast
from keepwell.forecasting.task import Task, lead_steps, task_of
from keepwell.governance.charters import AppliedCharter
from keepwell.models import service as models
from keepwell.models.model import ModelVersion
from keepwell.serving import service as serving
from keepwell.serving.model import ANSWERED_BY, Scoring

Answers = dict[str, tuple[str, bytes]]
"""Segment to the id and bytes of the version that answers."""


def forecasts_of(model: str) -> str:
    """Return the name of the dataset in which a model's forecasts are published."""
    return f"{model}.forecasts"


def score(kit: Kit, applied: AppliedCharter, slot: datetime, actor: str) -> Scoring:
    """Forecast the fleet for a moment of its schedule and publish the rows; once for each moment.

    Args:
        kit: the opened house.
        applied: the charter in force.
        slot: the moment of the schedule.
        actor: who scores.

    Raises:
        NotFound: the dataset has no version yet.
        Unavailable: nobody may answer: no version can, and the charter's fallback leaves the baseline out.
    """
    charter = applied.charter
    environment = charter.release.environments[-1]
    with kit.read() as tx:
        done = serving.published(tx, charter.model, environment, slot)
        if done is not None:
            return done
        version = latest_version(tx, charter.data.dataset)
        champions, before = _versions(tx, charter, environment)
    answers = {"champion": _answers(kit, champions)}
    if "last_champion" in charter.fallback:
        answers["last_champion"] = _answers(kit, before)
    frame = frame_of(kit, version.id)
    origin = last_known(frame, charter.data.time, charter.data.target)
    rows = _rows(applied, frame, origin, slot, answers)
    heard = set(rows["version"].drop_nulls())
    there = set(rows["segment"])
    silent = tuple(sorted(v.id for v in champions if v.segment in there and v.id not in heard))
    if rows.is_empty():
        raise Unavailable("No segment can be scored: no version answers, and the charter's fallback has no baseline.")
    return _publish(kit, applied, version, origin, slot, actor, rows, silent)


def _versions(tx: Transaction, charter: Charter, environment: str) -> tuple[list[ModelVersion], list[ModelVersion]]:
    """Return the champions, and the champions before them."""
    there = models.champion_ids(tx, charter.model, environment)
    before = models.previous_versions(tx, charter.model, environment, list(there))
    champions = models.versions_by_id(tx, list(there.values()))
    return champions, models.versions_by_id(tx, [v for v in before.values() if v])


def _answers(kit: Kit, versions: Sequence[ModelVersion]) -> Answers:
    """Return the versions whose bytes can be read."""
    found = readable(kit, versions)
    return {v.segment: (v.id, found[v.segment]) for v in versions if v.segment in found}


def _rows(
    applied: AppliedCharter, frame: pl.DataFrame, origin: str, slot: datetime, answers: Mapping[str, Answers]
) -> pl.DataFrame:
    """Return the rows to publish: keys, time, segment, forecast, baseline, version, answered_by."""
    charter = applied.charter
    task = task_of(charter, Path(applied.folder))
    lead = lead_steps(task)
    last = frame.filter(pl.col(charter.data.target).is_not_null())[charter.data.time].max()
    late = _late_steps(last, slot, charter.forecast.every)
    ahead, _ = with_future(frame, charter.data, charter.forecast.every, Path(applied.folder), lead + late)
    made, by = _forecast(ahead, task, origin, lead + late, answers)
    if late:
        times = made[charter.data.time].unique().sort().tail(lead)
        made = made.filter(pl.col(charter.data.time).is_in(times.implode()))
    return _answered(made, by, answers, baseline="baseline" in charter.fallback)


def _forecast(
    ahead: pl.DataFrame, task: Task, origin: str, steps: int, answers: Mapping[str, Answers]
) -> tuple[pl.DataFrame, dict[str, str]]:
    """Forecast with the champions; where one gave nothing at all, with the champion before it.

    Returns:
        The rows, and who answered for each segment.
    """
    by = {segment: who for who in reversed(ANSWERED_BY[:2]) for segment in answers.get(who, {})}
    made = forecast({s: answers[who][s][1] for s, who in by.items()}, ahead, task, origin, steps)
    silent = made.group_by("segment").agg(pl.col("forecast").is_null().all())
    again = {s for s, none in silent.iter_rows() if none and by.get(s) == "champion"} & set(
        answers.get("last_champion", {})
    )
    if not again:
        return made, by
    by |= dict.fromkeys(again, "last_champion")
    return forecast({s: answers[who][s][1] for s, who in by.items()}, ahead, task, origin, steps), by


def _answered(
    made: pl.DataFrame, by: Mapping[str, str], answers: Mapping[str, Answers], *, baseline: bool
) -> pl.DataFrame:
    """Say for each row which version made it and in which role; what no version made is the baseline's."""
    who = pl.DataFrame(
        [(segment, answers[role][segment][0], role) for segment, role in by.items()],
        {"segment": pl.String, "version": pl.String, "answered_by": pl.String}, orient="row",
    )  # fmt: skip
    has = pl.col("forecast").is_not_null()
    rows = made.join(who, on="segment", how="left", maintain_order="left").with_columns(
        pl.when(has).then("version").alias("version"),
        pl.when(has).then("answered_by").otherwise(pl.lit("baseline")).alias("answered_by"),
        pl.coalesce("forecast", "baseline").alias("forecast"),
    )
    allowed = ANSWERED_BY if baseline else ANSWERED_BY[:2]
    return rows.filter(pl.col("forecast").is_not_null() & pl.col("answered_by").is_in(allowed))


def _late_steps(last: object, slot: datetime, every: str) -> int:
    """Return how many whole steps between the last known time and the slot have no data: their rows came too late."""
    if not isinstance(last, date):
        return 0
    moment = last if isinstance(last, datetime) else datetime(last.year, last.month, last.day, tzinfo=slot.tzinfo)
    moment = moment if moment.tzinfo else moment.replace(tzinfo=slot.tzinfo)
    gap: timedelta = slot - moment
    return max(0, gap // parse_span(every) - 1)


def _publish(
    kit: Kit,
    applied: AppliedCharter,
    version: DatasetVersion,
    origin: str,
    slot: datetime,
    actor: str,
    rows: pl.DataFrame,
    silent: tuple[str, ...],
) -> Scoring:
    charter = applied.charter
    call = kit.call(actor)
    counts = dict(rows["answered_by"].value_counts().iter_rows())
    times = rows[charter.data.time]
    scoring_id = call.ids.new("scr")
    part = kit.blobs.put(encode(rows))
    failpoints.reach("score.rows_stored")
    kept: list[Scoring] = []

    def record(tx: Transaction, output: DatasetVersion) -> None:
        made = Scoring(
            id=scoring_id,
            model=charter.model,
            environment=charter.release.environments[-1],
            slot=slot,
            origin=origin,
            at=call.now,
            input=version.id,
            output=output.id,
            part=part,
            rows=rows.height,
            answered={who: counts.get(who, 0) for who in ANSWERED_BY},
            silent=silent,
            first=str(times.min()),
            last=str(times.max()),
        )
        kept[:] = [serving.publish(tx, call, made)]

    form = Form(time=charter.data.time, keys=charter.data.keys)
    publish(kit, call, forecasts_of(charter.model), rows, form, f"scoring:{iso(slot)}", also=record)
    return kept[0]
