"""Pipelines in YAML: read, refused with file and line, bounded."""

from __future__ import annotations

from pathlib import Path

import pytest

from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.pipelines.declared import read_pipeline, schema
from keepwell.pipelines.model import Command, Reference

GOOD = """
pipeline: demand
params: {alpha: 0.1, region: South}
steps:
  load:
    run: steps.py:load
    inputs: {path: "file:data.csv"}
    timeout: 10m
  train:
    run: steps.py:train
    inputs: {rows: load, alpha: "param:alpha"}
    outputs: [model, scores]
    map_over: rows
    chunk: 50
    retries: 2
    cache: false
    uses: [helpers.py:clean]
  report:
    command: [Rscript, report.R, --, "{inputs.scores}", "--region={params.region}", "{outputs.page}"]
    inputs: {scores: train.scores, region: "param:region"}
    outputs: {page: page.html}
    formats: {scores: csv}
    files: ["lib/*.R"]
    set: {OMP_NUM_THREADS: "1"}
    passes: [R_LIBS]
"""


def test_everything_is_read() -> None:
    found = read_pipeline(GOOD, folder=Path("here"))
    assert (found.name, found.params, found.folder) == ("demand", {"alpha": 0.1, "region": "South"}, Path("here"))
    load, train, report = found.steps
    assert load.does == Reference("steps.py:load") and load.timeout == 600
    assert (train.outputs, train.map_over, train.chunk, train.retries, train.cache, train.uses) == (
        ("model", "scores"), "rows", 50, 2, False, ("helpers.py:clean",)
    )  # fmt: skip
    assert isinstance(report.does, Command)
    assert report.does.argv[0] == "Rscript" and report.does.formats == {"scores": "csv"}
    assert report.output_names == ("page",)
    assert report.does.variables == {"OMP_NUM_THREADS": "1"} and report.does.passes == ("R_LIBS",)


@pytest.mark.parametrize(
    ("old", "new", "pattern"),
    [
        ("run: steps.py:load", "runs: steps.py:load", r"^p\.yaml:6: steps\.load\.runs: There is no field 'runs'"),
        ("inputs: {rows: load,", "inputs: {rows: laod,", r"^p\.yaml:9: The step 'train': .*'laod'.*mean 'load'"),
        ("scores: train.scores", "scores: train", r"^p\.yaml:18: .*one of the outputs"),
        ("outputs: {page: page.html}", "outputs: {page: ../page.html}", r"^p\.yaml:18: .*inside the folder"),
        ("outputs: {page: page.html}", "outputs: [page]", r"^p\.yaml:18: .*names its outputs and their files"),
        ("outputs: [model, scores]", "outputs: {model: m.json}", r"^p\.yaml:9: .*list of names"),
        ("    run: steps.py:load\n", "", r"^p\.yaml:5: .*Write either `run"),
        ("timeout: 10m", "timeout: soon", r"^p\.yaml:5: .*not a span of time"),
        ("retries: 2", "retries: 1000000000", r"^p\.yaml:9: .*0 to 10 times"),
        ("chunk: 50", "chunk: -1", r"^p\.yaml:9: .*1 to 1,000,000"),
        ("alpha: 0.1", "alpha: .nan", r"^p\.yaml: .*cannot be recorded"),
        ("formats: {scores: csv}", "formats: {scores: pickle}", r"^p\.yaml:18: .*no file format"),
        ("pipeline: demand", "pipeline: ../demand", r"^p\.yaml: .*name of the pipeline"),
        ("pipeline: demand", "pipeline: demand\npipeline: twice", r"^p\.yaml:3: .*written twice"),
        ("alpha: 0.1", "alpha: !!python/object/apply:os.system [id]", r"^p\.yaml:3: .*tag"),
        ("{inputs.scores}", "x {inputs.scores}", r"^p\.yaml:18: .*mixes a placeholder"),
        ("map_over: rows", "map_over: lines", r"^p\.yaml:9: .*mapped over 'lines'"),
        ("inputs: {path: \"file:data.csv\"}", "inputs: {path: load}", r"^p\.yaml:5: .*own output"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_line(old: str, new: str, pattern: str) -> None:
    assert old in GOOD
    with pytest.raises(InvalidInput, match=pattern):
        try:
            read_pipeline(GOOD.replace(old, new), name="p.yaml")
        except InvalidInput as error:
            raise InvalidInput(str(error)) from error


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "a: b",
        "steps: {}\npipeline: x",
        b"\xff\xfe\x00",
        "pipeline: x\nsteps: " + "[" * 5000,
        "pipeline: x\nsteps:\n" + "".join(f"  s{i}: {{run: a.py:f}}\n" for i in range(100_000)),
        "a: &a [x,x,x,x,x,x,x,x,x]\n"
        + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True)),
        "pipeline: x\nsteps:\n  a: {run: f.py:g, inputs: {x: b}}\n  b: {run: f.py:g, inputs: {x: a}}",
        "pipeline: x\x00\nsteps: {}",
    ],
    ids=["empty", "list", "other", "no steps", "no utf-8", "deep", "100,000 steps", "aliases", "circle", "nul"],
)
def test_bad_texts_are_refused_in_one_sentence(text: str | bytes) -> None:
    with pytest.raises(KeepwellError) as caught:
        read_pipeline(text)
    assert "\n" not in str(caught.value)


def test_reading_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "steps.py").write_text("raise SystemExit('imported')")
    assert read_pipeline("pipeline: x\nsteps: {a: {run: steps.py:f}}", folder=tmp_path).steps


def test_the_schema_names_the_fields() -> None:
    found = schema()
    assert {"pipeline", "params", "steps"} == set(found["$defs"]["PipelineSpec"]["properties"])
