"""The charter as values. Every field has a default but `model` and `data`; defaults are what a careful team would pick.

Spans of time are text (`1w`, `60d`), see `keepwell.core.spans`. Paths are relative to the charter's own folder.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

Level = Literal["low", "medium", "high"]
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Expression = Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
Span = Annotated[str, msgspec.Meta(pattern=r"^[1-9][0-9]{0,9}\s*[smhdw]$")]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Whole = Annotated[int, msgspec.Meta(ge=0, le=1_000_000)]

METRICS = ("wmape", "mape", "mape100", "rmse", "rmse_zero", "mae", "bias")
"""Metrics of a forecast; ratios are fractions. All but `bias` are better when smaller."""
CANDIDATES = ("lasso", "lightgbm", "neural", "historical_average", "same_week_last_year", "last_value")
"""Learners of the built-in forecasting pipeline; own ones join them by `forecast.own`."""
BASELINES = ("historical_average", "same_week_last_year", "last_value")
"""What a forecast must beat."""
HOLIDAY_CALENDARS = ("US", "CHRISTIAN")
"""Holidays that are computed for any year."""
OUTPUT_COLUMNS = ("segment", "horizon", "actual", "forecast", "baseline")
"""Columns that forecasts are published with; keys and time must not take their names."""


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A part of a charter: frozen, named fields only, unknown fields refused."""


class Owner(Spec, frozen=True, kw_only=True):
    """Who answers for the model: names of people or teams."""

    business: str = "unassigned"
    technical: str = "unassigned"


class Consumed(Spec, frozen=True, kw_only=True):
    """How predictions are used: `batch` on a schedule (five-field cron, UTC), or `online`."""

    how: Literal["batch", "online"] = "batch"
    schedule: str = "0 5 * * MON"


class RiskLevel(Spec, frozen=True, kw_only=True):
    """How likely it is, and how bad it would be."""

    probability: Level = "low"
    impact: Level = "low"


class Risk(Spec, frozen=True, kw_only=True):
    """What can go wrong: no answers, wrong answers, answers that get worse unseen."""

    unavailable: RiskLevel = RiskLevel()
    wrong: RiskLevel = RiskLevel()
    decay: RiskLevel = RiskLevel()


class Join(Spec, frozen=True, kw_only=True):
    """Another table whose columns are looked up for each row.

    Attributes:
        source: file, folder or glob.
        on: columns of the main table (left) and of this one (right) that must be equal.
        columns: which columns to take; all others by default.
    """

    source: Text
    on: Annotated[dict[str, str], msgspec.Meta(min_length=1)]
    columns: tuple[str, ...] = ()


class Movers(Spec, frozen=True, kw_only=True):
    """A derived segment column: `slow` or `fast` by the volume of the series, judged on training history only.

    Attributes:
        column: name of the column it makes.
        share: the largest series that together make this share of the volume are fast.
    """

    column: Text = "speed"
    share: Annotated[float, msgspec.Meta(gt=0, lt=1)] = 0.8


class Data(Spec, frozen=True, kw_only=True):
    """What the model eats, and what each column is.

    Attributes:
        dataset: name under which versions are kept.
        source: file, folder or glob of the history and of arriving files.
        format: by default from the file's ending.
        joins: tables looked up while conditioning.
        rename: source column to standard column.
        derive: new column to a SQL expression over the row, such as `CASE WHEN hr < 6 THEN 'night' ELSE 'day' END`.
        where: SQL expression of the rows to keep.
        group: after deriving, sum the target and average other numbers to one row per keys and time.
        fill: value for a missing one, by column.
        contract: file of the contract, or the contract itself.
        time: column of the time (date, moment, or whole number of steps).
        target: column that is forecast.
        keys: columns that together make one series.
        known_ahead: columns known for the future: calendar, planned prices and promotions.
        observed: columns known only up to the forecast's origin.
        static: columns that do not change within a series.
        movers: split series into slow and fast movers by volume.
        delay: how long after its time a row's target is known.
    """

    dataset: Text
    source: str = ""
    format: Literal["csv", "parquet", "jsonl", "excel"] | None = None
    joins: tuple[Join, ...] = ()
    rename: dict[str, str] = {}
    derive: dict[str, Expression] = {}
    where: Expression | None = None
    group: bool = False
    fill: dict[str, float | str | bool] = {}
    contract: str | dict[str, object] | None = None
    time: Text
    target: Text
    keys: tuple[Text, ...] = ()
    known_ahead: tuple[Text, ...] = ()
    observed: tuple[Text, ...] = ()
    static: tuple[Text, ...] = ()
    movers: Movers | None = None
    delay: Span | None = None


class Forecast(Spec, frozen=True, kw_only=True):
    """What the built-in forecasting pipeline does.

    Attributes:
        every: span between two rows of a series; `1w` for weekly data.
        horizons: how far ahead forecasts are made; the first is what the batch scores.
        candidates: learners that are fitted.
        ensemble: candidates whose forecasts are averaged with weights chosen on held-back weeks; empty: none.
        season: steps in a season, such as 52 for weekly data; 0 for none.
        holidays: dates, or `US` and `CHRISTIAN` for computed ones.
        history: how much history is trained on; all of it by default.
        hold_back: how much of the newest history chooses the ensemble's weights and certifies.
        nonnegative: forecasts below 0 become 0.
        seed: of everything random.
        own: further candidates, name to `file.py:function`.
    """

    every: Span = "1w"
    horizons: Annotated[tuple[Span, ...], msgspec.Meta(min_length=1)] = ("1w",)
    candidates: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("lasso", "lightgbm")
    ensemble: tuple[str, ...] = ("lasso", "lightgbm")
    season: Whole = 52
    holidays: tuple[str, ...] = ()
    history: Span | None = None
    hold_back: Span = "8w"
    nonnegative: bool = True
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 1
    own: dict[str, str] = {}


class Evaluate(Spec, frozen=True, kw_only=True):
    """How good it must be, measured how.

    Attributes:
        split: only a rolling origin is honest for forecasts.
        metrics: of `wmape`, `mape`, `mape100`, `rmse`, `rmse_zero`, `mae`, `bias`; the first one leads: derived gates
            are about it.
        baseline: `historical_average`, `same_week_last_year` or `last_value`.
        slices: columns by whose values evidence is kept.
        last: the newest span that certifies a version.
    """

    split: Literal["rolling_origin"] = "rolling_origin"
    metrics: Annotated[tuple[str, ...], msgspec.Meta(min_length=1)] = ("wmape", "mape", "rmse", "rmse_zero")
    baseline: str = "historical_average"
    slices: tuple[Text, ...] = ()
    last: Span = "8w"


class Release(Spec, frozen=True, kw_only=True):
    """How a new version reaches production.

    Attributes:
        environments: in order; the last is production.
        approvals: environment to the roles that must approve; derived from the risk when it is absent.
        hold_windows: how many windows a challenger that cannot be told from the champion is held.
        tie: what becomes of it then: `discard`, or `refresh`, which lets it take over from a stale champion, as it
            passed its gates and knows newer data.
    """

    environments: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=20)] = ("dev", "test", "prod")
    approvals: dict[str, tuple[str, ...]] | None = None
    hold_windows: Whole = 4
    tie: Literal["discard", "refresh"] = "discard"


class Retrain(Spec, frozen=True, kw_only=True):
    """When training starts.

    Attributes:
        on: of `schedule`, `new_data`, `drift`, `performance`, `staleness`, `code`.
        schedule: five-field cron in UTC, for the trigger `schedule`.
        stale_after: a champion trained longer ago than this is stale.
        cool_down: a segment is not trained again sooner than this.
        approval: `automatic`, or `ask` for a person before training.
    """

    on: tuple[Literal["schedule", "new_data", "drift", "performance", "staleness", "code"], ...] = (
        "performance",
        "staleness",
    )
    schedule: str = "0 3 * * MON"
    stale_after: Span = "60d"
    cool_down: Span = "2w"
    approval: Literal["automatic", "ask"] = "automatic"


class Monitor(Spec, frozen=True, kw_only=True):
    """What is watched.

    Attributes:
        window: length of one window of performance.
        windows: how many newest windows are judged together.
        min_rows: fewer rows with an outcome than this are too few to judge: unknown.
        performance: metric to the worst value that is still good, such as `{wmape: 0.25}`.
        drift: distance to alarm at, see the monitoring page; None watches no drift.
        fresh_within: an arrival is late when none came for this long; None never.
    """

    window: Span = "1w"
    windows: Count = 4
    min_rows: Count = 20
    performance: dict[str, Annotated[float, msgspec.Meta(ge=0)]] = {}
    drift: Annotated[float, msgspec.Meta(gt=0)] | None = 0.25
    fresh_within: Span | None = None


class Charter(Spec, frozen=True, kw_only=True):
    """The declared intent for one model or one fleet.

    Attributes:
        charter: version of this format.
        model: name of the model or fleet.
        owner: who answers for it.
        purpose: what it is for, in a sentence.
        consumed: how its predictions are used.
        risk: what can go wrong; derives gates and approvals.
        segments: columns by whose values the fleet is split: one model per combination that the data holds.
        data: what it eats.
        pipeline: `forecast` for the built-in one, or `file.py:function`.
        forecast: what the built-in pipeline does.
        evaluate: how good it must be, measured how.
        gates: rules that a new version must pass, such as `wmape < baseline.wmape`.
        release: how a new version reaches production.
        retrain: when training starts.
        monitor: what is watched.
        fallback: what answers for a segment without a fit model, tried in order.
    """

    charter: Literal[1] = 1
    model: Text
    owner: Owner = Owner()
    purpose: str = ""
    consumed: Consumed = Consumed()
    risk: Risk = Risk()
    segments: tuple[Text, ...] = ()
    data: Data
    pipeline: str = "forecast"
    forecast: Forecast = Forecast()
    evaluate: Evaluate = Evaluate()
    gates: tuple[str, ...] = ()
    release: Release = Release()
    retrain: Retrain = Retrain()
    monitor: Monitor = Monitor()
    fallback: tuple[Literal["last_champion", "baseline"], ...] = ("last_champion", "baseline")
