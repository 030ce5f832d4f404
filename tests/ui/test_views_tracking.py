"""What the pages about runs show, from values: columns, curves, relations, differences, previews, lanes. Pure."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.clock import iso
from keepwell.core.filters import RUNS, operators, parse_filter, parse_order
from keepwell.server.ui import columns, curves, differences, lanes, links, previews, relations, views_compare, views_run
from keepwell.server.ui.columns import Column
from keepwell.server.ui.curves import Curve
from keepwell.server.ui.thinning import thin
from keepwell.server.ui.views_table import Asked, completions, headers, pages, spans
from keepwell.tracking.model import Code, Columns, Input, Latest, Run

NOW = datetime(2026, 1, 7, 6, tzinfo=UTC)
NAMES = st.text(st.characters(exclude_categories=("C",), exclude_characters='`"'), min_size=1, max_size=30)


def run(number: int, *, commit: str = "a" * 40, **fields: object) -> Run:
    given: dict[str, object] = {
        "name": f"r{number}", "kind": "train", "status": "finished", "model": None, "parent": None, "params": {},
        "metrics": {}, "tags": {}, "inputs": [], "artifacts": {}, "code": Code(commit=commit, dirty=False),
        "environment": None, "machine": {}, "actor": "person:mia", "started_at": iso(NOW),
        "finished_at": iso(NOW + timedelta(seconds=30)), "error": None, "experiment": 1, **fields,
    }  # fmt: skip
    return Run(id=f"run_{number:026d}", **given)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------ columns, filter


@given(st.lists(st.tuples(st.sampled_from(columns.KINDS), NAMES), max_size=6))
def test_columns_survive_an_address(found: list[tuple[columns.Kind, str]]) -> None:
    told = list(dict.fromkeys(Column(kind, name) for kind, name in found))
    assert columns.parse_all(columns.written(told)) == told
    assert columns.names_of(columns.names_written([one.name for one in told])) == list(
        dict.fromkeys(one.name for one in told)
    )


@given(st.sampled_from(("metrics", "params", "tags")), NAMES)
def test_any_name_can_be_sorted_and_filtered_by(kind: columns.Kind, name: str) -> None:
    column = Column(kind, name)
    (order,) = parse_order(columns.order_clauses(f"-{column.text}"), RUNS)
    assert (order.key, order.ascending) == (name, False)
    if kind != "metrics":
        (found,) = parse_filter(columns.with_comparison("", column, 'it\'s "x"'), RUNS)
        assert (found.key, found.value) == (name, 'it\'s "x"')


def test_plain_words_look_for_a_name_and_the_grammar_is_left_alone() -> None:
    (found,) = parse_filter(columns.as_filter("  digits  cnn "), RUNS)
    assert (found.key, found.op, found.value) == ("run_name", "ILIKE", "%digits cnn%")
    for text in ("metrics.loss < 0.1", "params.a IS NULL", "tags.b LIKE 'x%' AND metrics.c > 1", ""):
        assert columns.as_filter(text) == text
    narrowed = columns.with_comparison("digits", Column("params", "lr"), "0.1")
    assert [one.key for one in parse_filter(narrowed, RUNS)] == ["run_name", "lr"]


@pytest.mark.parametrize(
    ("column", "sort", "after"),
    [("metrics.loss", "", "-metrics.loss"), ("metrics.loss", "-metrics.loss", "metrics.loss"),
     ("params.lr", "", "params.lr"), ("params.lr", "params.lr", "-params.lr"), ("params.lr", "nonsense", "params.lr"),
     ("attributes.start_time", "params.lr", "-attributes.start_time")],
)  # fmt: skip
def test_a_click_on_a_header_sorts_and_turns(column: str, sort: str, after: str) -> None:
    found = columns.parse(column)
    assert found is not None
    assert columns.toggled(found, sort) == after


def test_usual_columns_are_what_judges_and_what_differs() -> None:
    runs = [run(n, metrics={"val/loss": 1.0, "train/loss": 2.0, "lr": 0.1, "system/cpu": 3.0, "epoch": 1.0, "z": 1.0},
                params={"seed": n, "same": 1, "width": n % 2}) for n in range(4)]  # fmt: skip
    found = [one.text for one in columns.usual(runs)]
    assert found[:2] == ["metrics.val/loss", "metrics.train/loss"]
    assert "metrics.system/cpu" not in found
    assert found[4:] == ["params.seed", "params.width", "params.same"]
    assert columns.usual([]) == []


def test_cells_keep_every_digit_on_hover_and_know_numbers() -> None:
    one = run(1, metrics={"a": 0.123456789, "b": "NaN"}, params={"x": {"deep": [1]}, "n": "1e-3", "t": "1.2.3"},
              tags={"long": "y" * 200})  # fmt: skip
    assert columns.cell(one, Column("metrics", "a")) == columns.Cell("0.1235", "0.123456789", True)
    assert columns.cell(one, Column("metrics", "b")).text == "NaN"
    assert columns.cell(one, Column("params", "x")).text == '{"deep":[1]}'
    assert columns.cell(one, Column("params", "n")).numeric
    assert not columns.cell(one, Column("params", "t")).numeric
    assert columns.cell(one, Column("tags", "long")).exact == "y" * 200
    assert columns.cell(one, Column("tags", "none")) == columns.NOTHING
    assert columns.cell(one, Column("attributes", "user_id")).text == "mia"


def test_a_table_keeps_what_was_asked_in_every_link() -> None:
    asked = Asked("/runs", filter="metrics.a > 1", sort="-metrics.a", page=3, limit=10)
    assert asked.link(sort="metrics.a") == "/runs?filter=metrics.a+%3E+1&sort=metrics.a&limit=10"
    where = pages(asked, 10, 45)
    assert (where.first, where.last, where.before is not None, where.after is not None) == (21, 30, True, True)
    assert "page=4" in str(where.after) and "page=2" in str(where.before)
    assert pages(Asked("/runs"), 5, 5).after is None
    shown = [Column("metrics", "a"), Column("metrics", "b"), Column("params", "c")]
    assert spans(shown) == [("Metrics, last values", 2), ("Parameters", 1)]
    assert [head.sorted for head in headers(asked, shown, [run(1)])] == ["descending", None, None]


def test_completion_offers_what_the_grammar_takes() -> None:
    found = completions(Columns(["loss"], ["lr"], ["team"]))
    entity = {"metrics": "metric", "params": "parameter", "tags": "tag"}
    for kind, told in entity.items():
        assert set(found["operators"][kind]) == set(operators(told, "x", RUNS))  # type: ignore[arg-type]
    for name in found["names"]["attributes"]:
        assert set(operators("attribute", name, RUNS)) <= set(found["operators"]["attributes"])
    assert set(found["hints"]) >= {one for some in found["operators"].values() for one in some}


# --------------------------------------------------------------------------------------------------------------- curves


@given(st.lists(st.floats(-1e6, 1e6), max_size=40), st.floats(0, 0.99))
def test_smoothing_stays_within_its_values_and_starts_without_bias(values: list[float], weight: float) -> None:
    found = curves.smoothed(values, weight)
    assert len(found) == len(values)
    if values:
        room = 1e-6 * (1 + max(map(abs, values)))
        assert found[0] == pytest.approx(values[0])
        assert min(values) - room <= min(found) and max(found) <= max(values) + room
    assert curves.smoothed(values, 0) == values


def test_smoothing_leaves_gaps_where_a_value_is_none() -> None:
    found = curves.smoothed([1.0, math.nan, 3.0], 0.5)
    assert math.isnan(found[1])
    assert found[2] == pytest.approx((3 + 0.5) / 1.5)


@given(st.lists(st.floats(-1e3, 1e3) | st.just(math.nan), min_size=1, max_size=3_000), st.integers(2, 300))
def test_thinning_keeps_the_ends_and_the_extremes(values: list[float], most: int) -> None:
    column = np.array(values)
    kept = thin(np.arange(len(values)), column, most)
    assert len(kept) <= max(most, 4)
    assert all(a < b for a, b in pairwise(kept.tolist()))
    assert kept[0] == 0 and kept[-1] == len(values) - 1
    if not np.isnan(column).all():
        assert np.nanmax(column[kept]) == np.nanmax(column)
        assert np.nanmin(column[kept]) == np.nanmin(column)


def test_curves_are_drawn_on_any_axis_and_break_at_gaps() -> None:
    one = Curve("run_1", "<b>one", 0, [0, 1, 2, 3], [1000, 2000, 3000, 4000], [4.0, math.nan, 0.0, 1.0])
    other = Curve("run_2", "two", 13, [5], [9000], [2.0])
    text = curves.draw([one, other], label="loss")
    assert "<b>" not in text
    assert text.count("<path") == 2 and 'class="run-3 dash-1"' in text
    assert re.search(r'class="run-0" d="M[^L]*M[^M]*"', text)
    assert "step 5" in text
    assert "3 s" in curves.draw([one], label="loss", axis="relative")
    assert "0.0" not in re.findall(r'most">(.*?)<', curves.draw([one], label="x", log_y=True))[0]
    assert "No points" in curves.draw([], label="x")
    assert "No points" in curves.draw([Curve("r", "r", 0, [0], [0], [-1.0])], label="x", log_y=True)


def test_what_judges_a_run_comes_first_and_single_numbers_are_no_curves() -> None:
    latest = [Latest("train/loss", 1.0, 9, 0), Latest("test/accuracy", 1.0, 0, 0), Latest("val/loss", 1.0, 9, 0),
              Latest("system/cpu", 1.0, 9, 0)]  # fmt: skip
    assert views_run.charted(latest) == ["val/loss", "train/loss"]
    facts = views_run.facts_of(run(1, metrics={"train/loss": 1.0, "test/accuracy": 0.5, "system/cpu": 1.0}))
    assert [name for name, _ in facts.figures] == ["test/accuracy", "train/loss"]


# ----------------------------------------------------------------------------------------------- relations, differences


def test_what_a_run_read_is_said_in_words() -> None:
    def said(**values: Any) -> str:
        return views_run.read_words(Input(kind="dataset", name="d", **values))

    code = '{"tags": {"mlflow.user": "ada", "mlflow.source.name": "t.py"}}'
    assert said(source_type="code", source=code, profile='{"num_rows": 1500, "num_elements": 3000}') == (
        "1,500 rows, 3,000 values, from t.py"
    )
    assert said(source_type="http", source='{"url": "https://a.example/x.csv"}') == "from http https://a.example/x.csv"
    assert said(source_type="local", source="day.csv", profile='{"bytes": 12}') == "12 bytes, from day.csv"
    assert said() == said(source="[" * 99_999, profile="[1]", source_type="code").partition("from")[0] == ""


def test_axes_are_what_differs_and_tell_numbers_from_words() -> None:
    runs = [run(n, params={"lr": 10.0**-n, "same": 1, "kind": "ab"[n % 2], "id": f"x{n}"}, metrics={"acc": 0.1 * n})
            for n in range(1, 16)]  # fmt: skip
    found = relations.axes_of(runs, [])
    assert [axis.column.text for axis in found] == ["params.kind", "params.lr", "metrics.acc"]
    assert found[1].scale.log and not found[2].scale.log
    assert found[0].categories == ["a", "b"]
    assert [
        axis.column.name for axis in relations.axes_of(runs, [Column("metrics", "acc"), Column("params", "id")])
    ] == ["acc"]
    text = relations.parallel(runs, found)
    assert text.count('<a href="/runs/run_') == len(runs)
    assert "fewer than two" in relations.parallel(runs, found[:1])


def test_a_scatter_places_every_run_that_has_both_values() -> None:
    told = {1: {"m": 1.0}, 2: {}, 3: {"m": "NaN"}, 4: {"m": 2.0}}
    runs = [run(n, params={"a": n}, metrics=metrics) for n, metrics in told.items()]
    x, y = relations.axis_of(runs, Column("params", "a")), relations.axis_of(runs, Column("metrics", "m"))
    assert x is not None and y is not None
    assert relations.scatter(runs, x, y).count('class="dot') == 2
    assert relations.axis_of(runs, Column("params", "nothing")) is None


def test_only_what_differs_is_shown_until_all_is_wanted() -> None:
    data = Input(kind="dataset", name="sales", id="dsv_01k7e2ezr0xw3q7ym5vp84ppc3", digest="sha256:" + "1" * 64)
    runs = [
        run(1, params={"lr": 0.1, "same": 2}, inputs=[data], tags={"t": "x"}),
        run(2, params={"lr": 0.2, "same": 2}, inputs=[data], tags={"t": "x"}, commit="b" * 40),
        run(3, params={"lr": 0.1, "same": 2}, tags={"t": "x"}),
    ]
    found = {one.title: one for one in differences.sections(runs, everything=False)}
    assert [line.name for line in found["Parameters"].lines] == ["lr"]
    assert list(found["Parameters"].lines[0].odd) == [False, True, False]
    assert (found["Parameters"].alike, found["Tags"].lines, found["Tags"].alike) == (1, [], 1)
    assert [line.name for line in found["Code"].lines] == ["commit"]
    assert found["Data"].lines[0].links == [
        "/dataset-versions/dsv_01k7e2ezr0xw3q7ym5vp84ppc3",
        "/dataset-versions/dsv_01k7e2ezr0xw3q7ym5vp84ppc3",
        None,
    ]
    everything = {one.title: one for one in differences.sections(runs, everything=True)}
    assert [line.name for line in everything["Parameters"].lines] == ["lr", "same"]


def test_uncommitted_changes_lead_to_the_patch() -> None:
    digest = "sha256:" + "3" * 64
    kept = run(1, code=Code(commit="a" * 40, dirty=True, diff=digest), artifacts={differences.PATCH: digest})
    found = {one.title: one for one in differences.sections([kept, run(2)], everything=False)}
    line = next(line for line in found["Code"].lines if line.name == differences.CHANGES)
    assert list(line.links) == [f"/runs/{kept.id}?tab=artifacts&path=code%2Fchanges.patch", None]


def test_runs_of_one_name_are_told_apart_and_bars_are_sorted() -> None:
    runs = [
        run(1, name="a", metrics={"m": 1.0}),
        run(2, name="a", metrics={"m": 3.0}),
        run(3, name="b", metrics={"m": "NaN"}),
    ]
    named = views_compare.labels(runs)
    assert named == ["a …0001", "a …0002", "b"]
    assert [bar.label for bar in views_compare.bars_of(runs, named, "m")] == ["a …0002", "a …0001"]
    assert links.compare([one.id for one in runs[:2]]).startswith("/compare?runs=run_0")


# ------------------------------------------------------------------------------------------------------------ previews


@pytest.mark.parametrize(
    ("path", "kind"),
    [("a/b.PNG", "picture"), ("x.svg", "picture"), ("r.html", "document"), ("t.csv", "table"), ("t.parquet", "table"),
     ("c.json", "json"), ("model/MLmodel", "text"), ("log.txt", "text"), ("w.bin", "other"), ("report.pdf", "other"),
     (".png", "other"), ("m.pkl", "other"), ("n.ipynb", "text")],
)  # fmt: skip
def test_a_file_is_shown_as_what_its_name_says(path: str, kind: str) -> None:
    assert previews.kind_of(path) == kind
    assert (previews.media_of(path) is not None) == (kind in ("picture", "document") or path == ".png")


def test_texts_are_cut_and_bytes_are_no_text() -> None:
    assert previews.text_view(b"\x00\x01", 2) is None
    assert previews.text_view(bytes(range(128, 256)) * 20, 2_560) is None
    long = previews.text_view(b"line\n" * 5_000, 25_000)
    assert long is not None and long.cut and long.text.count("\n") == previews.LINES - 1
    assert previews.text_view(b"ok", 9) == previews.TextView("ok", True)


def test_tables_are_read_from_csv_and_from_every_usual_json() -> None:
    found = previews.csv_table(b"a,b\n1,x\n2,y\n3", 40)
    assert found is not None and (found.more_rows, len(found.rows)) == (None, 2)
    whole = previews.csv_table(b'a,b\n1,"x,y"\n', 12)
    assert whole is not None and whole.rows[0][1].text == "x,y" and whole.more_rows == 0
    assert previews.csv_table(b"", 0) is None
    for value in ({"columns": ["a"], "data": [[1], [2]]}, [{"a": 1}, {"a": 2}], {"a": [1, 2]}):
        table = previews.json_table(json.dumps(value).encode())
        assert table is not None and [row[0].text for row in table.rows] == ["1", "2"]
    for other in (b"{}", b"[1]", b"not json", b'{"a": 1}', b"[" * 100_000):
        assert previews.json_table(other) is None
    many = previews.json_table(json.dumps({"a": list(range(1_000))}).encode())
    assert many is not None and (len(many.rows), many.more_rows) == (previews.ROWS, 800)


# --------------------------------------------------------------------------------------------------------------- lanes


def test_lanes_say_who_was_what_when() -> None:
    stays = [
        lanes.Stay("prod", "v2", NOW - timedelta(days=5), None, "v2 since", "/versions/ver_2"),
        lanes.Stay("prod", "v1", NOW - timedelta(days=10), NOW - timedelta(days=5), "v1 <until>"),
        lanes.Stay("@best", "v1", NOW - timedelta(days=8), None, "best"),
    ]
    text = lanes.draw(stays, NOW, label="Timeline")
    assert "<until>" not in text
    assert re.findall(r'lane-name">([^<]*)', text) == ["prod", "@best"]
    assert 'x="0.00%" y="0" width="50.00%"' in text and 'x="50.00%" y="0" width="50.00%"' in text
    assert lanes.draw([], NOW, label="x") == ""


def test_two_versions_in_one_place_at_once_stand_below_one_another() -> None:
    days = [(9, None), (6, 4), (4, None), (2, None)]
    stays = [
        lanes.Stay("stage", f"v{n}", NOW - timedelta(days=since), until and NOW - timedelta(days=until), "said")
        for n, (since, until) in enumerate(days)
    ]
    text = lanes.draw(stays, NOW, label="x")
    assert re.findall(r'<svg x="[^"]*" y="(\d+)"', text) == ["0", "26", "26", "52"]
    assert 'height="78"' in text
