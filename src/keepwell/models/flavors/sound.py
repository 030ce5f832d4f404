"""Trees whose indexes stay inside: scikit-learn's own code follows them without asking.

A node's children come after it and are there, its feature is one of the model's. Checked for every tree that a loaded
estimator holds, before its first prediction.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from keepwell.core.errors import Damaged

MAX_OBJECTS = 200_000
_LEAF = -1


def check_trees(model: Any) -> None:
    """Check every tree that an estimator holds, however deep.

    Raises:
        Damaged: an index of a tree leads out of it.
    """
    seen: set[int] = set()
    waiting = [model]
    while waiting:
        item = waiting.pop()
        if isinstance(item, np.ndarray):
            waiting += item.ravel().tolist() if item.dtype == object else ()
            continue
        if id(item) in seen or isinstance(item, str | bytes | int | float | bool | type(None)):
            continue
        seen.add(id(item))
        if len(seen) > MAX_OBJECTS:
            raise Damaged("The model holds more objects than can be checked.")
        match type(item).__name__:
            case "Tree":
                _check_tree(item)
            case "TreePredictor":
                _check_predictor(item)
        waiting += _parts(item)


def _parts(item: Any) -> list[Any]:
    if isinstance(item, dict):
        return list(item.values())
    if isinstance(item, list | tuple | set):
        return list(item)
    if type(item).__module__.split(".")[0] not in ("sklearn", "imblearn"):
        return []
    return list(getattr(item, "__dict__", {}).values())


def _check_tree(tree: Any) -> None:
    left, right = np.asarray(tree.children_left), np.asarray(tree.children_right)
    own = np.arange(len(left))
    inner = left != _LEAF
    _demand(
        ((right == _LEAF) == ~inner).all()
        and (left[inner] > own[inner]).all()
        and (right[inner] > own[inner]).all()
        and (left[inner] < len(own)).all()
        and (right[inner] < len(own)).all()
        and (np.asarray(tree.feature)[inner] >= 0).all()
        and (np.asarray(tree.feature)[inner] < tree.n_features).all()
    )


def _check_predictor(predictor: Any) -> None:
    nodes = predictor.nodes
    inner = nodes["is_leaf"] == 0
    own = np.arange(len(nodes))[inner]
    left, right = nodes["left"][inner].astype(np.int64), nodes["right"][inner].astype(np.int64)
    sets = nodes[inner & (nodes["is_categorical"] != 0)]["bitset_idx"]
    raw, binned = len(predictor.raw_left_cat_bitsets), len(predictor.binned_left_cat_bitsets)
    _demand(
        len(nodes) > 0
        and ((left > own) & (left < len(nodes)) & (right > own) & (right < len(nodes))).all()
        and (nodes["feature_idx"][inner] >= 0).all()
        and (sets < min(raw, binned)).all()
    )


def _demand(holds: Any) -> None:
    if not holds:
        raise Damaged("A tree of the model leads out of itself; do not use this model.")
