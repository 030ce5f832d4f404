"""PyTorch's exported programs, read without their pickled parts.

The archive holds raw tensors, a graph as JSON, and example inputs as a pickle that prediction does not need. The graph
names functions by dotted paths and sizes by expressions that a reader evaluates: both are matched against what
exporting writes, and anything else is refused before torch sees the file.
"""

from __future__ import annotations

import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keepwell.core.errors import Damaged, Denied
from keepwell.models.flavors import content

MAX_GRAPH = 256 << 20
_TARGET = re.compile(
    r"torch\.ops\.(aten|prims)\.(?!from_file|save|_print)(?!__)[a-z_0-9]+\.[A-Za-z][A-Za-z0-9_]*\Z"
    r"|torch\.sym_[a-z]+\Z|math\.[a-z0-9]+\Z"
    r"|_operator\.(add|sub|mul|truediv|floordiv|mod|neg|pos|pow|abs|eq|ne|lt|le|gt|ge|and_|or_|not_|getitem)\Z"
)
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SYMBOL = re.compile(r"[suz]\d+\Z")
_FUNCTIONS = frozenset({
    "Max", "Min", "Mod", "FloorDiv", "CeilDiv", "CleanDiv", "PythonMod", "TrueDiv", "IntTrueDiv", "FloatTrueDiv",
    "ToFloat", "Where", "Identity", "Integer", "Symbol", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "And", "Or", "Not", "True",
    "False", "Mul", "Add", "Pow", "positive", "integer", "nonnegative", "Float", "Rational", "oo", "int_oo", "Abs",
    "floor", "ceiling", "RoundToInt", "FloorToInt", "CeilToInt", "TruncToInt", "PowByNatural",
})  # fmt: skip
_EXPRESSION = re.compile(r"[A-Za-z0-9_ +\-*/(),<>=&|~.%']*\Z")
_CONTAINERS = frozenset({None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"})


def check(place: Path) -> None:
    """Let an exported program pass whose parts are all data.

    Raises:
        Damaged: the archive is not whole.
        Denied: it has weights that are pickles, compiled code, or names functions that are no operators.
    """
    with content.Archive(place) as archive:
        for name in archive.sizes:
            _check_part(archive, name)


def load(place: Path) -> Any:
    """Return the module of an exported program, from a copy in memory that has no pickled part."""
    import torch

    kept = io.BytesIO()
    with content.Archive(place) as archive, zipfile.ZipFile(kept, "w") as copy:
        for name in archive.sizes:
            _check_part(archive, name)
            if "/sample_inputs/" in f"/{name}":
                copy.writestr(name, b"")
            elif "/models/" in f"/{name}":
                copy.writestr(name, json.dumps(_bare(_json(archive, name))))
            elif "/extra/" not in f"/{name}":
                copy.writestr(name, archive.read(name))
    kept.seek(0)
    try:
        return torch.export.load(kept).module()
    except (RuntimeError, ValueError, KeyError, AssertionError, AttributeError, TypeError, IndexError) as error:
        raise Damaged(f"torch cannot read the exported program: {str(error).splitlines()[0][:300]}") from error


def _bare(graph: dict[str, Any]) -> dict[str, Any]:
    """Return a graph without what torch would look up or compile and prediction does not need."""
    for key, value in _pairs(graph):
        if key == "nodes" and isinstance(value, list):
            for node in value:
                node["metadata"] = {}
    return {**graph, "guards_code": []}


def _check_part(archive: content.Archive, name: str) -> None:
    below = f"/{name}"
    if "/aotinductor/" in below or name.endswith((".so", ".dll", ".dylib")):
        raise Denied("This exported program holds compiled code, which is not loaded.", where="policy")
    if name.endswith("_config.json") and ("/weights/" in below or "/constants/" in below):
        config = _json(archive, name).get("config")
        entries = list(config.values()) if isinstance(config, dict) else [None]
        if any(not _is_raw(entry) for entry in entries):
            raise Denied("This exported program holds weights or objects that are pickles.", where="policy")
    elif "/models/" in below:
        _check_graph(_json(archive, name))


def _is_raw(entry: Any) -> bool:
    return (
        isinstance(entry, dict)
        and entry.get("use_pickle") is False
        and str(entry.get("path_name")).startswith(("weight_", "tensor_"))
    )


def _check_graph(graph: Any) -> None:
    for key, value in _pairs(graph):
        if key == "nodes":
            wrong = next((n for n in value if not _TARGET.match(str(n.get("target")))), None)
            if wrong is not None:
                shown = ascii(str(wrong.get("target"))[:80])
                raise Denied(f"This exported program calls {shown}, which is no known operator.", where="policy")
        elif key == "expr_str" and not _is_expression(value):
            raise Denied("This exported program has a size that is no plain expression.", where="policy")
        elif key in ("in_spec", "out_spec") and not _is_plain_tree(value):
            raise Denied("This exported program takes or gives objects that are no plain containers.", where="policy")


def _is_plain_tree(text: Any) -> bool:
    try:
        held = json.loads(text or "[]")
    except (ValueError, TypeError, RecursionError):
        return False
    return all(value in _CONTAINERS for key, value in _pairs(held) if key == "type" and not isinstance(value, list))


def _is_expression(text: Any) -> bool:
    if (
        not isinstance(text, str)
        or len(text) > 10_000
        or not _EXPRESSION.match(text)
        or re.search(r"\.\s*[A-Za-z_]", text)
    ):
        return False
    return all(_SYMBOL.match(word) or word in _FUNCTIONS for word in _WORD.findall(text))


def _pairs(value: Any) -> Iterator[tuple[str, Any]]:
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            yield from item.items()
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item


def _json(archive: content.Archive, name: str) -> dict[str, Any]:
    if archive.sizes[name] > MAX_GRAPH:
        raise Damaged("The graph of the exported program is too large.")
    try:
        found = json.loads(archive.read(name))
    except (ValueError, RecursionError):
        raise Damaged(f"{name[:80]} of the exported program is not JSON.") from None
    if not isinstance(found, dict):
        raise Damaged(f"{name[:80]} of the exported program is no mapping.")
    return found
