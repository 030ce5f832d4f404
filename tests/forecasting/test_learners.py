from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from keepwell.core.errors import Conflict, InvalidInput, NotInstalled
from keepwell.forecasting import linear, neural, trees
from keepwell.forecasting.artifact import pack, unpack
from keepwell.forecasting.candidates import learner_of
from keepwell.forecasting.features import Examples, Samples, Source, examples_of
from keepwell.forecasting.panel import panel_of
from keepwell.forecasting.task import Task

OWN = """
import numpy as np

def ridge(rows, state=None):
    x = np.nan_to_num(rows.x.astype(float))
    if state is None:
        x = np.c_[x, np.ones(len(x))]
        weight = np.linalg.solve(x.T @ x + 10 * np.eye(x.shape[1]), x.T @ rows.ratio)
        return {"weight": weight, "note": "ridge"}
    return np.c_[x, np.ones(len(x))] @ state["weight"]

def careless(rows, state=None):
    return {} if state is None else rows.ratio[:1]

def stateless(rows, state=None):
    return 3
"""


@pytest.fixture
def examples(weekly: pl.DataFrame, make_task: Callable[..., Task]) -> Examples:
    task = make_task()
    source = Source(panel_of(weekly, task), task)
    series, step = np.nonzero(np.isfinite(source.panel.target[:, 4:]))
    return examples_of(source, Samples(series, step + 3, step + 4))


def loss(ratio: np.ndarray, examples: Examples) -> float:
    return float(np.abs(ratio - examples.ratio).mean())


@pytest.mark.parametrize("learner", [linear, trees, neural], ids=["lasso", "lightgbm", "neural"])
def test_learners_learn_repeat_and_survive_their_bytes(learner: Any, examples: Examples) -> None:
    early, late = examples.take(examples.when < 110), examples.take(examples.when >= 110)
    states = learner.fit([early], None, 1)
    ratio = learner.predict(states[0], late)
    assert loss(ratio, late) < 0.6 * loss(np.ones(len(late)), late)
    assert pack(states[0]) == pack(learner.fit([early], None, 1)[0]), "the same rows and seed make the same bytes"
    again = unpack(pack(states[0]))
    np.testing.assert_allclose(learner.predict(again, late), ratio, rtol=0, atol=1e-9)
    more = learner.fit([examples], [again], 1)
    assert loss(learner.predict(more[0], late), late) < 0.6 * loss(np.ones(len(late)), late)


@pytest.mark.parametrize("learner", [linear, trees, neural], ids=["lasso", "lightgbm", "neural"])
@pytest.mark.parametrize("rows", [1, 2, 7, 45])
def test_a_handful_of_rows_is_enough(learner: Any, rows: int, examples: Examples) -> None:
    few = examples.take(slice(100, 100 + rows))
    ratio = learner.predict(learner.fit([few], None, 1)[0], examples)
    assert np.isfinite(ratio).all()


@pytest.mark.parametrize("learner", [linear, trees, neural], ids=["lasso", "lightgbm", "neural"])
def test_columns_may_be_unknown_throughout(learner: Any, examples: Examples) -> None:
    x = examples.x.copy()
    x[:, ::2] = np.nan
    blind = Examples(
        examples.names, x, examples.kinds, np.full_like(examples.cats, -1), examples.scale, examples.ratio,
        examples.when,
    )  # fmt: skip
    for known in (blind, examples):
        assert np.isfinite(learner.predict(learner.fit([known], None, 1)[0], blind)).all()


@pytest.mark.parametrize("learner", [linear, trees, neural], ids=["lasso", "lightgbm", "neural"])
def test_a_new_value_of_a_category_is_forecast_too(learner: Any, examples: Examples) -> None:
    state = learner.fit([examples], None, 1)[0]
    kinds = {name: (*values, "new") for name, values in examples.kinds.items()}
    cats = np.full_like(examples.cats, max(len(v) for v in kinds.values()) - 1)
    cats = np.minimum(cats, [len(v) - 1 for v in kinds.values()])
    other = Examples(examples.names, examples.x, kinds, cats, examples.scale, examples.ratio, examples.when)
    assert np.isfinite(learner.predict(state, other)).all()


def test_many_lassos_are_what_each_is_alone(examples: Examples) -> None:
    parts = [examples.take(slice(i, i + 40 + i % 9)) for i in range(0, 600, 40)]
    together = linear.fit(parts, None, 1)
    for part, state in zip(parts, together, strict=True):
        alone = linear.fit([part], None, 1)[0]
        assert alone["share"] == state["share"]
        np.testing.assert_allclose(linear.predict(alone, part), linear.predict(state, part), rtol=2e-3)


@pytest.mark.parametrize(
    ("learner", "module", "extra"),
    [(trees, "lightgbm", r"keepwell\[forecast\]"), (neural, "torch", r"keepwell\[neural\]")],
)
def test_a_missing_extra_is_named_in_one_sentence(
    learner: Any, module: str, extra: str, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(NotInstalled, match=extra) as error:
        learner.fit([examples], None, 1)
    assert str(error.value).count("\n") == 0


def test_networks_forecast_without_pytorch(examples: Examples, monkeypatch: pytest.MonkeyPatch) -> None:
    state = neural.fit([examples], None, 1)[0]
    monkeypatch.setitem(sys.modules, "torch", None)
    assert np.isfinite(neural.predict(state, examples)).all()


def test_training_leaves_pytorch_as_it_was(examples: Examples) -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(5)
    threads, expected = torch.get_num_threads(), torch.rand(1, generator=torch.Generator().manual_seed(5))
    neural.fit([examples.take(slice(0, 50))], None, 1)
    assert torch.get_num_threads() == threads
    assert torch.equal(torch.rand(1), expected)


@pytest.fixture
def own(tmp_path: Path, make_task: Callable[..., Task]) -> Callable[..., Task]:
    (tmp_path / "mine.py").write_text(OWN)

    def task(function: str) -> Task:
        return make_task(own={"mine": function}, folder=tmp_path)

    return task


def test_an_own_model_is_one_more_learner(own: Callable[..., Task], examples: Examples) -> None:
    learner = learner_of("mine", own("mine.py:ridge"))
    state = unpack(pack(learner.fit([examples], None, 1)[0]))
    assert loss(learner.predict(state, examples), examples) < 0.6 * loss(np.ones(len(examples)), examples)


def test_a_changed_file_asks_for_training(own: Callable[..., Task], examples: Examples, tmp_path: Path) -> None:
    learner = learner_of("mine", own("mine.py:ridge"))
    state = learner.fit([examples], None, 1)[0]
    (tmp_path / "mine.py").write_text(OWN + "\n# better now\n")
    with pytest.raises(Conflict, match="train it again"):
        learner.predict(state, examples)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("mine.py:careless", "one finite number for each"),
        ("mine.py:stateless", "returned int when fitting"),
        ("mine.py:absent", "has no function absent"),
        ("absent.py:ridge", "no file absent.py"),
        ("../mine.py:ridge", "outside the charter's folder"),
        ("mine.py", "should read file.py:function"),
    ],
)
def test_what_an_own_model_does_wrong_is_said(
    own: Callable[..., Task], examples: Examples, function: str, said: str
) -> None:
    learner = learner_of("mine", own(function))
    with pytest.raises(InvalidInput, match=said):
        learner.predict(learner.fit([examples], None, 1)[0], examples)


def test_an_unknown_candidate_is_named(make_task: Callable[..., Task]) -> None:
    with pytest.raises(InvalidInput, match="'prophet' is not a candidate; there are lasso, neural, lightgbm"):
        learner_of("prophet", make_task())
