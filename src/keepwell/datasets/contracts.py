"""Judge an arrival against its contract: pure, compiled to polars expressions, the same for one row and for millions.

Three kinds of checks: over each row (ranges, allowed values, SQL expressions), over the table (types, missing rates,
row counts, freshness), and against history (row count, means, and whether a unit seems to have changed). A check that
history is too short for is not judged, and said so; it is never passed in silence.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime

from keepwell.charter.contract import Column, Contract
from keepwell.core.clock import as_utc
from keepwell.core.lazy import pl
from keepwell.core.spans import parse_span, show_span
from keepwell.datasets import likeness
from keepwell.datasets.expressions import evaluate
from keepwell.datasets.model import Finding, Form, Stats
from keepwell.datasets.parts import kind_of

REASON = "reason"
_FEW_ARRIVALS = 3
_MAD = 1.4826  # a normal distribution's standard deviation in units of its median absolute deviation
_MEAN_DEVIATION = 1.2533


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a contract says of a table.

    Attributes:
        findings: every breach; none: the contract is kept.
        failed: a mask of the rows that show one.
        reasons: for each row, the checks that it failed, `; ` between them; empty where it failed none.
        unjudged: checks that history is too short for, with the reason.
    """

    findings: list[Finding]
    failed: pl.Series
    reasons: pl.Series
    unjudged: list[str]

    @property
    def kept(self) -> bool:
        """Whether there is no breach."""
        return not self.findings


def judge(
    contract: Contract,
    frame: pl.DataFrame,
    history: Sequence[Stats],
    *,
    form: Form | None = None,
    received_at: datetime | None = None,
    watched: Sequence[str] | None = None,
) -> Judgement:
    """Judge a table in standard form.

    Args:
        contract: what it must satisfy; an empty one still asks for rows, keys, times and finite numbers.
        frame: the table.
        history: stats of the arrivals that were let in, oldest first.
        form: the columns that make a row distinct; without it, keys and times are not judged.
        received_at: when the arrival came; without it, freshness is not judged.
        watched: columns whose unit is watched although nothing is declared of them; all numbers by default.

    Raises:
        InvalidInput: an expression of the contract does not work on the table.
    """
    work = _Work(frame)
    if not frame.height:
        work.table("rows", "The file holds no rows.", value=0)
        return work.judgement()
    _identity(work, contract, form)
    for name, column in contract.columns.items():
        _column(work, name, column)
    _extra(work, contract, form)
    _finite(work)
    for name, bound in contract.outliers.items():
        _outliers(work, name, bound)
    for name, text in contract.expressions.items():
        holds = evaluate(frame, text, "holds", f"contract.expressions.{name}")
        wrong = ~holds.cast(pl.Boolean).fill_null(False)
        work.rows(f"expressions.{name}", wrong, "{n} rows do not satisfy " + f"{name!r} ({text}).")
    _row_count(work, contract, history)
    _fresh(work, contract, form, received_at)
    _history(work, contract, history, form, watched)
    return work.judgement()


@dataclass(slots=True)
class _Work:
    """Findings as they come, and which rows failed which check."""

    frame: pl.DataFrame
    findings: list[Finding] = field(default_factory=list)
    masks: list[pl.Series] = field(default_factory=list)
    unjudged: list[str] = field(default_factory=list)

    def table(self, check: str, sentence: str, *, value: float | None = None, limit: float | None = None) -> None:
        """Add a finding about the table as a whole."""
        self.findings.append(Finding(check, sentence, 0, value, limit))

    def rows(
        self, check: str, wrong: pl.Series, sentence: str, *, value: float | None = None, limit: float | None = None
    ) -> None:
        """Add a finding about the rows of a mask, if there are any; `{n}` in the sentence becomes their number."""
        wrong = wrong.fill_null(False)
        count = int(wrong.sum())
        if count:
            self.findings.append(Finding(check, sentence.replace("{n}", f"{count:,}"), count, value, limit))
            self.masks.append(wrong.alias(check))

    def judgement(self) -> Judgement:
        """Sum up."""
        if not self.masks:
            none = pl.Series(REASON, [""] * self.frame.height, dtype=pl.String)
            return Judgement(self.findings, none != "", none, self.unjudged)
        marks = pl.DataFrame([mask.alias(str(i)) for i, mask in enumerate(self.masks)])
        told = [pl.when(pl.col(str(i))).then(pl.lit(mask.name)) for i, mask in enumerate(self.masks)]
        reasons = marks.select(pl.concat_str(told, separator="; ", ignore_nulls=True).alias(REASON))[REASON]
        return Judgement(self.findings, reasons != "", reasons, self.unjudged)


def failed_rows(frame: pl.DataFrame, judgement: Judgement) -> pl.DataFrame | None:
    """Return the rows that failed, with a last column `reason`; None when no single row did."""
    if not judgement.failed.any():
        return None
    name = REASON
    while name in frame.columns:
        name += "_"
    return frame.with_columns(judgement.reasons.alias(name)).filter(judgement.failed)


def _identity(work: _Work, contract: Contract, form: Form | None) -> None:
    if form is None:
        return
    for name in form.identity:
        what = "time" if name == form.time else "key"
        work.rows(f"{what}.{name}", work.frame[name].is_null(), f"{{n}} rows have no {name}, which is the {what}.")
    if contract.keys_unique:
        whole = work.frame.select(pl.all_horizontal(pl.col(form.identity).is_not_null()).alias("whole"))["whole"]
        twice = work.frame.select(form.identity).is_duplicated() & whole
        work.rows("keys_unique", twice, f"{{n}} rows share their {', '.join(form.identity)} with another row.")


def _column(work: _Work, name: str, column: Column) -> None:
    check = f"columns.{name}"
    if name not in work.frame.columns:
        work.table(check, f"The column {name} is not there.")
        return
    values = work.frame[name]
    missing = values.null_count()
    if column.missing is not None and missing > column.missing * len(values):
        share = missing / len(values)
        sentence = f"{name} is missing in {{n}} rows, {share:.1%}; the contract allows {column.missing:.1%}."
        work.rows(f"{check}.missing", values.is_null(), sentence, value=share, limit=column.missing)
    if missing == len(values) or not _typed(work, check, values, column):
        return
    _bound(work, f"{check}.min", values, column.min, below=True)
    _bound(work, f"{check}.max", values, column.max, below=False)
    if column.allowed:
        _allowed(work, f"{check}.allowed", values, column.allowed)
    if column.unique:
        work.rows(f"{check}.unique", values.is_duplicated() & values.is_not_null(),
                  f"{{n}} rows share their {name} with another row.")  # fmt: skip


def _typed(work: _Work, check: str, values: pl.Series, column: Column) -> bool:
    """Judge the type; tell whether the other checks of the column make sense."""
    kind, wanted = kind_of(values.dtype) or str(values.dtype), column.type
    if wanted is None or kind == wanted or (wanted == "number" and kind == "integer"):
        return True
    if wanted == "integer" and kind == "number":
        work.rows(f"{check}.type", values != values.floor(), f"{{n}} rows have a {values.name} that is not whole.")
        return True
    if wanted == "boolean" and kind == "integer":
        work.rows(f"{check}.type", ~values.is_in([0, 1]), f"{{n}} rows have a {values.name} that is neither 0 nor 1.")
        return True
    work.table(f"{check}.type", f"{values.name} is {kind}; the contract says {wanted}.")
    return False


def _bound(work: _Work, check: str, values: pl.Series, bound: float | str | None, *, below: bool) -> None:
    if bound is None:
        return
    limit = _comparable(values, bound)
    if limit is None:
        kind = kind_of(values.dtype) or str(values.dtype)
        work.table(check, f"{values.name} is {kind}, which cannot be compared with {bound!r}.")
        return
    wrong = values < limit if below else values > limit
    found = values.min() if below else values.max()
    side = "below" if below else "above"
    sentence = f"{{n}} rows have a {values.name} {side} {_shown(bound)}; the extreme is {_shown(found)}."
    number = isinstance(found, int | float)
    work.rows(check, wrong, sentence, value=_finite_or_none(found) if number else None,
              limit=float(bound) if number and not isinstance(bound, str) else None)  # fmt: skip


def _shown(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)[:60]


def _finite_or_none(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and abs(value) < float("inf") else None


def _comparable(values: pl.Series, bound: float | str) -> object:
    """Return the bound in the column's type, or None when they cannot be compared."""
    kind = values.dtype
    if isinstance(bound, str):
        if kind == pl.String:
            return bound
        if kind == pl.Date or isinstance(kind, pl.Datetime):
            try:
                moment = datetime.fromisoformat(bound)
            except ValueError:
                return None
            return moment.date() if kind == pl.Date else as_utc(moment).replace(tzinfo=None)
        return None
    return bound if kind.is_numeric() else None


def _allowed(work: _Work, check: str, values: pl.Series, allowed: Sequence[float | str | bool]) -> None:
    if values.dtype.is_numeric():
        fit = [float(a) for a in allowed if not isinstance(a, str)]
        known = values.cast(pl.Float64).is_in(fit)
    elif values.dtype == pl.Boolean:
        known = values.is_in([a for a in allowed if isinstance(a, bool)])
    else:
        known = values.cast(pl.String).is_in([str(a) for a in allowed])
    wrong = ~known & values.is_not_null()
    first = values.filter(wrong.fill_null(False)).head(1)
    shown = str(first[0])[:40] if len(first) else ""
    work.rows(check, wrong, f"{{n}} rows have a {values.name} that is not allowed, such as {shown!r}.")


def _extra(work: _Work, contract: Contract, form: Form | None) -> None:
    if contract.extra_columns == "refuse":
        known = {*contract.columns, *(form.identity if form else ())}
        if extra := [name for name in work.frame.columns if name not in known]:
            work.table("extra_columns", f"The contract does not know the column {', '.join(extra[:10])}.")


def _finite(work: _Work) -> None:
    for name, kind in work.frame.schema.items():
        if kind.is_float():
            work.rows(f"finite.{name}", work.frame[name].is_infinite(), f"{{n}} rows have an infinite {name}.")


def _outliers(work: _Work, name: str, bound: float) -> None:
    """Robust z of Iglewicz and Hoaglin (1993): by the median absolute deviation, by the mean one where that is 0."""
    check = f"outliers.{name}"
    if name not in work.frame.columns or not work.frame.schema[name].is_numeric():
        work.table(check, f"There is no number {name} to look for outliers in.")
        return
    values = work.frame[name].cast(pl.Float64)
    distance = (values - values.median()).abs()
    robust, plain = distance.median(), distance.mean()
    deviation = _MAD * float(robust or 0.0) or _MEAN_DEVIATION * float(plain or 0.0)  # type: ignore[arg-type]
    if values.count() < 5 or not 0 < deviation < float("inf"):
        work.unjudged.append(f"{check}: fewer than 5 rows, or all alike")
        return
    wrong = distance / deviation > bound
    work.rows(check, wrong, f"{{n}} rows have a {name} more than {bound:g} robust deviations from the median.",
              value=_finite_or_none((distance / deviation).max()), limit=bound)  # fmt: skip


def _row_count(work: _Work, contract: Contract, history: Sequence[Stats]) -> None:
    limits, count = contract.rows, work.frame.height
    if limits is None:
        return
    if limits.min is not None and count < limits.min:
        work.table("rows.min", f"{count:,} rows came; the contract asks for {limits.min:,}.", value=count,
                   limit=limits.min)  # fmt: skip
    if limits.max is not None and count > limits.max:
        work.table("rows.max", f"{count:,} rows came; the contract allows {limits.max:,}.", value=count,
                   limit=limits.max)  # fmt: skip
    if limits.like_history is None:
        return
    if len(history) < _FEW_ARRIVALS:
        work.unjudged.append(f"rows.like_history: {len(history)} earlier arrivals, {_FEW_ARRIVALS} are needed")
        return
    counts = sorted(stats.rows for stats in history)
    usual = counts[(len(counts) - 1) // 2]  # the low median: one large history file does not set the measure
    if abs(count - usual) > limits.like_history * usual:
        work.table(
            "rows.like_history",
            f"{count:,} rows came; the usual arrival has {usual:,}, and the contract allows "
            f"{limits.like_history:.0%} more or less.",
            value=count,
            limit=limits.like_history * usual,
        )


def _fresh(work: _Work, contract: Contract, form: Form | None, received_at: datetime | None) -> None:
    if contract.fresh is None or form is None:
        return
    newest = work.frame[form.time].max()
    if received_at is None or not isinstance(newest, date):
        work.unjudged.append("fresh: the time is no date or moment")
        return
    moment = newest if isinstance(newest, datetime) else datetime(newest.year, newest.month, newest.day)  # noqa: DTZ001
    age = as_utc(received_at) - as_utc(moment)
    span = parse_span(contract.fresh)
    if age > span:
        work.table("fresh", f"The newest row is of {newest}, {age.days} d before it came; the contract allows "
                   f"{show_span(span)}.", value=age.total_seconds(), limit=span.total_seconds())  # fmt: skip


def _history(
    work: _Work, contract: Contract, history: Sequence[Stats], form: Form | None, watched: Sequence[str] | None
) -> None:
    for name, bound in contract.like_history.items():
        check = f"like_history.{name}"
        if name not in work.frame.columns or not work.frame.schema[name].is_numeric():
            work.table(check, f"There is no number {name} to compare with history.")
            continue
        found = likeness.mean_like(work.frame[name], likeness.past(history, name), bound)
        _liken(work, check, name, found)
    identity = form.identity if form else ()
    for name in work.frame.columns if watched is None else watched:
        column = contract.columns.get(name)
        declared = column is not None and column.min is not None and column.max is not None
        numeric = name in work.frame.columns and work.frame.schema[name].is_numeric()
        told = name in contract.like_history or f"columns.{name}.type" in {f.check for f in work.findings}
        if numeric and not declared and not told and name not in identity:
            _liken(work, f"unit.{name}", name, likeness.same_unit(work.frame[name], likeness.past(history, name)))


def _liken(work: _Work, check: str, name: str, found: likeness.Unlike | str | None) -> None:
    if isinstance(found, str):
        work.unjudged.append(f"{check}: {found}")
    elif found is not None:
        outside = (work.frame[name] < found.low) | (work.frame[name] > found.high)
        if outside.any():
            work.rows(check, outside, found.sentence, value=found.value, limit=found.limit)
        else:
            work.table(check, found.sentence, value=found.value, limit=found.limit)
