"""The learner `neural`: a small network with embeddings of categories beside a linear path, by absolute error.

It is trained with PyTorch (the extra `neural`) and forecasts with numpy alone, so scoring does not need the extra. Two
networks from two seeds are averaged: one alone depends on its seed by more than most candidates differ. A tenth of the
columns is hidden from each step of training, so that no forecast hangs on a holiday seen once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np

from keepwell.core.errors import NotInstalled
from keepwell.forecasting.features import Examples, Small
from keepwell.forecasting.panel import Floats, Ints
from keepwell.forecasting.parallel import largest_first
from keepwell.forecasting.scaling import Scaling, levels_of, recode, scaling_of, weights_of

HIDDEN = (64, 32)
WIDTH = 4
NETS = 2
EPOCHS = 6
HIDE_COLUMNS = 0.1
HIDE_HIDDEN = 0.15
_RATE = 4e-3
_DECAY = 1e-2
_MOST = 3.0
_FEWEST_STEPS = 300


def fit(parts: Sequence[Examples], like: Sequence[Mapping[str, Any]] | None, seed: int) -> list[dict[str, Any]]:
    """Fit the networks of each part; those of an earlier fit go on from where they were, half as long.

    Raises:
        NotInstalled: PyTorch is missing.
    """
    torch = library()
    with _quiet(torch):
        earlier: Sequence[Mapping[str, Any] | None] = like if like is not None else [None for _ in parts]
        sizes = [len(part) for part in parts]
        return largest_first(
            lambda pair: _fit_one(torch, pair[0], pair[1], seed), list(zip(parts, earlier, strict=True)), sizes
        )


def predict(state: Mapping[str, Any], examples: Examples) -> Floats:
    """Return the forecast ratio of each example."""
    x = Scaling.from_state(state["scaling"]).apply(examples)
    cats = _codes(examples, state["kinds"])
    total = np.zeros(len(examples))
    for net in state["nets"]:
        total += np.exp(np.clip(_forward(net, x, cats), -_MOST, _MOST))
    return total / len(state["nets"])


def _forward(net: Mapping[str, Any], x: Small, cats: Ints) -> Small:
    inside = np.concatenate([x, *(table[cats[:, i]] for i, table in enumerate(net["tables"]))], axis=1)
    for weight, bias in zip(net["weights"], net["biases"], strict=True):
        inside = np.maximum(inside @ weight + bias, 0.0)
    out = inside @ net["last"] + x @ net["straight"] + net["bias"]
    return np.asarray(out[:, 0])


def _fit_one(torch: Any, part: Examples, like: Mapping[str, Any] | None, seed: int) -> dict[str, Any]:
    torch.set_num_threads(1)
    if like is None:
        scaling, kinds = scaling_of(part), levels_of(part)
    else:
        scaling, kinds = Scaling.from_state(like["scaling"]), dict(like["kinds"])
    weight = weights_of(part) * len(part)
    data = (
        torch.from_numpy(scaling.apply(part)),
        torch.from_numpy(_codes(part, kinds)),
        torch.from_numpy(np.clip(part.ratio, -1.0, 8.0).astype(np.float32)),
        torch.from_numpy(weight.astype(np.float32)),
    )
    nets = []
    for n in range(NETS):
        dice = torch.Generator().manual_seed(seed * 1000 + n)
        sizes = [len(v) for v in kinds.values()]
        first = _start(torch, data[0].shape[1], sizes, dice) if like is None else like["nets"][n]
        nets.append(_train(torch, first, data, EPOCHS if like is None else EPOCHS // 2, dice))
    return {"scaling": scaling.to_state(), "kinds": kinds, "nets": nets}


def _start(torch: Any, columns: int, levels: Sequence[int], dice: Any) -> dict[str, Any]:
    """Return the parameters before training: the linear path and the last layer at 0, small embeddings."""
    tables = [torch.randn(n + 1, min(WIDTH, n), generator=dice) * 0.05 for n in levels]
    for table in tables:
        table[0] = 0.0
    sizes = [columns + sum(t.shape[1] for t in tables), *HIDDEN]
    pairs = list(pairwise(sizes))
    return {
        "tables": [t.numpy() for t in tables],
        "weights": [(torch.randn(a, b, generator=dice) * np.sqrt(1.0 / max(a, 1))).numpy() for a, b in pairs],
        "biases": [np.zeros(b, np.float32) for _, b in pairs],
        "last": np.zeros((sizes[-1], 1), np.float32),
        "straight": np.zeros((columns, 1), np.float32),
        "bias": np.zeros(1, np.float32),
    }


def _train(
    torch: Any, first: Mapping[str, Any], data: tuple[Any, Any, Any, Any], epochs: int, dice: Any
) -> dict[str, Any]:
    net = {name: _parameters(torch, value) for name, value in first.items()}
    x, cats, ratio, weight = data
    rows = len(x)
    batch = int(np.clip(rows // 40, 32, 1024))
    a_pass = -(-rows // batch)
    epochs = max(epochs, min(10 * epochs, -(-_FEWEST_STEPS // a_pass)))
    flat = [p for value in net.values() for p in (value if isinstance(value, list) else [value])]
    steps = torch.optim.AdamW(flat, lr=_RATE, weight_decay=_DECAY)
    for step in range(epochs * a_pass):
        if step % a_pass == 0:
            order = torch.randperm(rows, generator=dice)
        some = order[(step % a_pass) * batch : (step % a_pass + 1) * batch]
        done = (step + 1) / (epochs * a_pass)
        steps.param_groups[0]["lr"] = _RATE * min(1.0, done / 0.1) * 0.5 * (1 + np.cos(np.pi * done))
        out = _training_forward(torch, net, x[some], cats[some], dice)
        loss = (weight[some] * (torch.exp(out.clamp(-_MOST, _MOST)) - ratio[some]).abs()).mean()
        steps.zero_grad(set_to_none=True)
        loss.backward()
        steps.step()
    return {name: _arrays(value) for name, value in net.items()}


def _training_forward(torch: Any, net: Mapping[str, Any], x: Any, cats: Any, dice: Any) -> Any:
    x = _hide(torch, x, HIDE_COLUMNS, dice)
    looked_up = (torch.nn.functional.embedding(cats[:, i], table) for i, table in enumerate(net["tables"]))
    inside = torch.cat([x, *looked_up], dim=1)
    for weight, bias in zip(net["weights"], net["biases"], strict=True):
        inside = torch.relu(torch.addmm(bias, inside, weight))
    inside = _hide(torch, inside, HIDE_HIDDEN, dice)
    return (inside @ net["last"] + x @ net["straight"] + net["bias"])[:, 0]


def _hide(torch: Any, x: Any, share: float, dice: Any) -> Any:
    """Set a share of the numbers to 0, and the others larger, so that the mean stays (dropout)."""
    return x * (torch.rand(x.shape, generator=dice) >= share) / (1.0 - share)


def _parameters(torch: Any, value: Any) -> Any:
    if isinstance(value, list):
        return [_parameters(torch, item) for item in value]
    return torch.tensor(value, requires_grad=True)


def _arrays(value: Any) -> Any:
    return [_arrays(item) for item in value] if isinstance(value, list) else value.detach().numpy().copy()


def _codes(examples: Examples, kinds: Mapping[str, Sequence[str]]) -> Ints:
    """Return the codes of categories into the values trained on, plus one; 0 for a new value."""
    names = list(examples.kinds)
    columns = [recode(examples.cats[:, names.index(n)], examples.kinds[n], values) + 1 for n, values in kinds.items()]
    return np.stack(columns, axis=1) if columns else np.zeros((len(examples), 0), np.int64)


@contextmanager
def _quiet(torch: Any) -> Iterator[None]:
    """Use one thread a fit, and leave the process's threads as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def library() -> Any:
    """Return PyTorch.

    Raises:
        NotInstalled: it is missing.
    """
    try:
        import torch
    except ImportError:
        raise NotInstalled(
            "The candidate 'neural' needs PyTorch, which is not installed: pip install 'keepwell[neural]'."
        ) from None
    return torch
