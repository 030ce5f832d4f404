"""Graphs: what is wired to what, what order that gives, and what is refused."""

from __future__ import annotations

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput, TooLarge
from keepwell.pipelines import Pipeline, Step, command, renamed, step
from keepwell.pipelines.graph import Constant, FromFile, FromParam, FromStep, FromValue, feeds, plan
from keepwell.pipelines.model import Reference


def load(path: str) -> bytes:
    return path.encode()


def clean(load: bytes, strict: bool = True) -> tuple[int, int]:
    return len(load), int(strict)


def report(rows: int, note: str = "") -> str:
    return f"{rows}{note}"


STEPS = (
    step(load),
    step(outputs=("rows", "columns"))(clean),
    step(inputs={"rows": "clean.rows"}, constants={"note": "!"})(report),
)


def make(*steps: Step, **params: object) -> Pipeline:
    return Pipeline("demand", steps, params or {"path": "x"})


def refused(pattern: str, pipeline: Pipeline, **values: Any) -> str | None:
    with pytest.raises(InvalidInput, match=pattern) as caught:
        plan(pipeline, values)
    return caught.value.where


def test_arguments_receive_steps_parameters_and_constants() -> None:
    nodes = plan(make(*reversed(STEPS)))
    assert [n.step.name for n in nodes] == ["load", "clean", "report"]
    assert nodes[0].sources == {"path": FromParam("path")}
    assert nodes[1].sources == {"load": FromStep(0, "result")}
    assert nodes[2].sources == {"rows": FromStep(1, "rows"), "note": Constant("!")}
    assert [n.after for n in nodes] == [(), (0,), (1,)]
    assert feeds(nodes) == [[1], [2], []]


def test_values_files_and_renamed_steps() -> None:
    twice = renamed(STEPS[2], "second report", rows="value:count")
    filed = step(name="filed", inputs={"load": "file:data/x.csv", "strict": "param:path"})(clean)
    nodes = {n.step.name: n for n in plan(make(STEPS[0], STEPS[1], STEPS[2], twice, filed), ["count"])}
    assert nodes["second report"].sources["rows"] == FromValue("count")
    assert nodes["filed"].sources == {"load": FromFile("data/x.csv"), "strict": FromParam("path")}


@pytest.mark.parametrize(
    ("pattern", "steps"),
    [
        (r"no steps", ()),
        (r"Two steps are called 'load'", (STEPS[0], STEPS[0])),
        (r"'load' is no step, parameter or value", (STEPS[1],)),
        (r"no argument 'paht'", (step(constants={"paht": 1})(load),)),
        (r"one of the outputs of 'clean': rows and columns", (*STEPS[:2], step(inputs={"rows": "clean"})(report))),
        (r"no output 'row'. Did you mean 'rows'", (*STEPS[:2], step(inputs={"rows": "clean.row"})(report))),
        (r"'value:x'.*is no step", (step(inputs={"path": "value:x"})(load),)),
        (r"own output", (step(inputs={"path": "load"})(load),)),
        (r"mapped over 'items', which it does not receive", (step(map_over="items")(load),)),
        (r"0 to 10 times", (step(retries=10**9)(load),)),
        (r"0 to 10 times", (step(retries=-1)(load),)),
        (r"1 to 1,000,000", (step(chunk=0)(load),)),
        (r"at most 30 days", (step(timeout=-5.0)(load),)),
        (r"at most 30 days", (step(timeout=float("nan"))(load),)),
        (r"at most 30 days", (step(timeout=1e12)(load),)),
        (r"cannot be recorded", (step(constants={"path": float("nan")})(load),)),
        (r"cannot be a name of a step", (step(name="../x")(load),)),
        (r"cannot be a name of an output", (step(outputs=("a/b",))(load),)),
        (r"one name", (step(outputs=("a", "a"))(load),)),
        (r"given by name", (step(name="s")(lambda *rows: rows),)),
        (r"inside the folder", (step(inputs={"path": "file:../secret"})(load),)),
        (r"inside the folder", (step(inputs={"path": "file:/etc/passwd"})(load),)),
    ],
)  # fmt: skip
def test_what_is_refused(pattern: str, steps: tuple[Step, ...]) -> None:
    refused(pattern, make(*steps))


def test_nan_in_parameters_is_refused() -> None:
    refused("cannot be recorded", make(STEPS[0], path=float("inf")))


@pytest.mark.parametrize(
    "params",
    [{"api_key": "k"}, {"db.password": "p"}, {"token": "t"}, {"url": "https://u:p@h/x"}, {"a": {"b": ["s3://k:s@b"]}}],
)
def test_secrets_are_no_parameters(params: dict[str, object]) -> None:
    refused("parameters are recorded", make(STEPS[0], path="x", **params))
    assert plan(make(STEPS[0], path="x", max_tokens=5, password="", url="https://h/x@y"))


def test_circles_are_named() -> None:
    a, b, c = (Step(n, Reference("x.py:f"), inputs={"x": m}) for n, m in (("a", "c"), ("b", "a"), ("c", "b")))
    with pytest.raises(InvalidInput, match=r"circle: (a -> b -> c -> a|b -> c -> a -> b|c -> a -> b -> c)\."):
        plan(make(a, b, c))


def test_a_long_circle_is_shortened() -> None:
    many = [Step(f"s{i}", Reference("x.py:f"), inputs={"x": f"s{(i + 1) % 5000}"}) for i in range(5000)]
    with pytest.raises(InvalidInput) as caught:
        plan(make(*many))
    assert "more)" in caught.value.message and len(caught.value.message) < 300


def test_ten_thousand_steps_are_planned_and_more_are_refused() -> None:
    many = [Step("s0", Reference("x.py:f"))]
    many += [Step(f"s{i}", Reference("x.py:f"), inputs={"x": f"s{i - 1}", "y": "s0"}) for i in range(1, 10_000)]
    started = time.perf_counter()
    nodes = plan(make(*reversed(many)))
    assert time.perf_counter() - started < 5
    assert [n.step.name for n in nodes] == [s.name for s in many]
    hundred_thousand = make(*(Step(f"s{i}", Reference("x.py:f")) for i in range(100_000)))
    with pytest.raises(TooLarge, match="map one step over a list"):
        plan(hundred_thousand)


@given(st.data())
def test_every_step_comes_after_what_it_waits_for(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 30))
    edges = {i: data.draw(st.sets(st.integers(0, i - 1), max_size=4)) if i else set() for i in range(size)}
    steps = [Step(f"s{i}", Reference("x.py:f"), inputs={f"a{j}": f"s{j}" for j in edges[i]}) for i in range(size)]
    order = data.draw(st.permutations(steps))
    nodes = plan(make(*order))
    assert sorted(n.step.name for n in nodes) == sorted(s.name for s in steps)
    assert all(before < node.position for node in nodes for before in node.after)
    for node in nodes:
        assert {nodes[b].step.name for b in node.after} == {f"s{j}" for j in edges[int(node.step.name[1:])]}


@pytest.mark.parametrize(
    ("pattern", "argv"),
    [
        (r"list of texts", ()),
        (r"list of texts", ("",)),
        (r"list of texts", ("a", "b\0c")),
        (r"cannot be a placeholder", ("{params.path}",)),
        (r"mixes a placeholder", ("sh", "-c", "echo {params.path}")),
        (r"mixes a placeholder", ("sh", "-c", "{params.path}")),
        (r"mixes a placeholder", ("python", "-c", "{params.path}")),
        (r"mixes a placeholder", ("node", "-e", "{params.path}")),
        (r"mixes a placeholder", ("tool", "a;{params.path}")),
        (r"mixes a placeholder", ("tool", "{params.path}{params.path}")),
        (r"no output 'modle'", ("tool", "{outputs.modle}")),
        (r"'gone' is no step", ("tool", "{inputs.gone}")),
    ],
)
def test_commands_that_are_refused(pattern: str, argv: tuple[str, ...]) -> None:
    refused(pattern, make(command("c", argv, outputs={"model": "model.json"})))


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a\\b", "a\nb"])
def test_files_of_commands_stay_inside(path: str) -> None:
    refused("inside the folder", make(command("c", ["tool"], outputs={"out": path})))
    refused("inside the folder", make(command("c", ["tool"], outputs={"out": "x"}, files=[path])))


def test_environment_names_are_words() -> None:
    refused("environment variable", make(command("c", ["tool"], outputs={"o": "x"}, variables={"A=B": "1"})))
    refused("environment variable", make(command("c", ["tool"], outputs={"o": "x"}, passes=["LD PRELOAD"])))
