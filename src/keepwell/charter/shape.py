"""The shape of a text against a type: a walk over the tree that names every wrong place and what would be right."""

from __future__ import annotations

import math
import operator
import re
import unicodedata
from collections.abc import Callable, Sequence
from typing import TypeVar

import msgspec
from msgspec import inspect as types

from keepwell.charter.findings import Finding, listed, nearest, shown
from keepwell.charter.tree import Node

Spec = TypeVar("Spec", bound=msgspec.Struct)
Path = tuple[str | int, ...]
_PLACEHOLDER = "unknown"
_ABSENT = object()


def clause_of(path: Sequence[str | int], base: str = "") -> str:
    """Return a path as a clause: `("gates", 1)` is `gates[1]`."""
    text = base
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


class Findings:
    """Findings about one tree, which new ones join unless their place is found wrong already."""

    def __init__(self, root: Node, base: str, known: list[Finding]) -> None:
        self.root = root
        self.base = base
        self.all = known

    def add(self, path: Path, wrong: str, right: str, *, warning: bool = False) -> None:
        """Add a finding at the line of `path`, or of the deepest part of it that is written."""
        clause = clause_of(path, self.base)
        if not any(_covers(f.clause, clause) for f in self.all if f.severity == "error"):
            line = line_of(self.root, path)
            self.all.append(Finding(line, clause, wrong, right, "warning" if warning else "error"))

    def clean(self, path: Path) -> bool:
        """Return whether nothing at or under `path` is wrong so far."""
        clause = clause_of(path, self.base)
        return not any(_covers(clause, f.clause) or _covers(f.clause, clause) for f in self.all)

    def written(self, *path: str | int) -> bool:
        """Return whether the text itself writes `path`."""
        node: Node = self.root
        for step in path:
            if not isinstance(node.value, dict) or step not in node.value:
                return False
            node = node.value[str(step)]
        return True


def line_of(root: Node, path: Path) -> int:
    """Return the line of the deepest part of `path` that the text writes."""
    node, line = root, root.line
    for step in path:
        if isinstance(node.value, dict) and step in node.value:
            line = node.key_lines[str(step)]
            node = node.value[str(step)]
        elif isinstance(node.value, list) and isinstance(step, int) and step < len(node.value):
            node = node.value[step]
            line = node.line
        else:
            break
    return line


def shape_findings(node: Node, spec: type[msgspec.Struct], base: str) -> tuple[object, list[Finding]]:
    """Walk a tree against a struct.

    Returns:
        The value as builtins, in which wrong parts are left out or replaced, so that what is right can be judged on;
        and the findings.
    """
    walk = _Walk(base)
    kind = types.type_info(spec)
    value = walk.visit(node, kind, ())
    return (placeholder(kind) if value is _ABSENT else value), walk.findings


def convert(value: object, spec: type[Spec]) -> Spec:
    """Return the struct of builtins that `shape_findings` cleaned."""
    return msgspec.convert(value, spec, strict=True)


class _Walk:
    def __init__(self, base: str) -> None:
        self.base = base
        self.findings: list[Finding] = []

    def wrong(self, line: int, path: Path, wrong: str, right: str) -> object:
        self.findings.append(Finding(line, clause_of(path, self.base), wrong, right))
        return _ABSENT

    def visit(self, node: Node, kind: types.Type, path: Path) -> object:  # noqa: PLR0911  (one a type)
        """Return the cleaned value, or _ABSENT after adding a finding."""
        chosen = _choose(kind, node)
        if chosen is None:
            return self._other_kind(node, kind, path)
        value = node.value
        match chosen:
            case types.StructType():
                assert isinstance(value, dict)  # noqa: S101
                return self._struct(node, value, chosen, path)
            case types.DictType():
                assert isinstance(value, dict)  # noqa: S101
                return self._mapping(node, value, chosen, path)
            case types.VarTupleType():
                assert isinstance(value, list)  # noqa: S101
                return self._sequence(node, value, chosen, path)
            case types.LiteralType():
                return self._literal(node, chosen, path)
            case types.FloatType() | types.IntType():
                return self._number(node, chosen, path)
            case types.StrType():
                return self._text(node, chosen, path)
        return node.plain()

    def _struct(self, node: Node, value: dict[str, Node], kind: types.StructType, path: Path) -> object:
        fields = {f.encode_name: f for f in kind.fields}
        cleaned: dict[str, object] = {}
        for name, child in value.items():
            if name in fields:
                found = self.visit(child, fields[name].type, (*path, name))
                if found is not _ABSENT:
                    cleaned[name] = found
                continue
            at = node.key_lines[name]
            right = "Write the fields out." if name == "<<" else nearest(name, fields, "Known fields are")
            self.wrong(at, (*path, name), f"There is no field {shown(name)} here.", right)
        for name, f in fields.items():
            if f.required and name not in value:
                right = f"Add `{name}: ` and {_want(f.type)}."
                self.wrong(node.line, (*path, name), "It is missing.", right)
            if f.required and name not in cleaned:
                cleaned[name] = placeholder(f.type)
        return cleaned

    def _mapping(self, node: Node, value: dict[str, Node], kind: types.DictType, path: Path) -> object:
        cleaned: dict[str, object] = {}
        for name, child in value.items():
            if (trouble := _trouble(name, one_line=True)) or not name or len(name) > 200:
                self.wrong(node.key_lines[name], path, f"The key {shown(name)} {trouble or 'is not 1 to 200 long'}.",
                           "Write a name.")  # fmt: skip
                continue
            found = self.visit(child, kind.value_type, (*path, name))
            if found is not _ABSENT:
                cleaned[name] = found
        if kind.min_length and not value:
            return self.wrong(node.line, path, "It is empty.", "Write at least one `name: value`.")
        return placeholder(kind) if kind.min_length and not cleaned else cleaned

    def _sequence(self, node: Node, value: list[Node], kind: types.VarTupleType, path: Path) -> object:
        if len(value) < (kind.min_length or 0):
            return self.wrong(node.line, path, "The list is empty.", "Write at least one, or remove the line.")
        if len(value) > (kind.max_length or len(value)):
            return self.wrong(
                node.line, path, f"The list has {len(value)} values.", f"Write {kind.max_length} at most."
            )
        found = [self.visit(child, kind.item_type, (*path, i)) for i, child in enumerate(value)]
        return [placeholder(kind.item_type) if item is _ABSENT else item for item in found]

    def _literal(self, node: Node, kind: types.LiteralType, path: Path) -> object:
        if any(node.value == v and type(node.value) is type(v) for v in kind.values):
            return node.value
        values = [str(v) for v in kind.values]
        right = f"Write {values[0]}." if len(values) == 1 else nearest(node.raw, values, "It is one of")
        return self.wrong(node.line, path, f"{shown(node.value)} is not known here.", right)

    def _number(self, node: Node, kind: types.FloatType | types.IntType, path: Path) -> object:
        number = node.value
        assert isinstance(number, int | float)  # noqa: S101
        if not math.isfinite(number):
            return self.wrong(node.line, path, f"{shown(node.raw)} is not a finite number.", "Write a finite number.")
        limits: tuple[tuple[str, float | None, Callable[[float, float], bool]], ...] = (
            ("above", kind.gt, operator.gt),
            ("of at least", kind.ge, operator.ge),
            ("below", kind.lt, operator.lt),
            ("of at most", kind.le, operator.le),
        )
        for words, limit, holds in limits:
            if limit is not None and not holds(number, limit):
                wrong = f"{shown(number)} is out of bounds."
                return self.wrong(node.line, path, wrong, f"Write a number {words} {limit}.")
        return number

    def _text(self, node: Node, kind: types.StrType, path: Path) -> object:
        text = node.value
        assert isinstance(text, str)  # noqa: S101
        if len(text) < (kind.min_length or 0):
            return self.wrong(node.line, path, "It is empty.", "Write a text, or remove the line.")
        if len(text) > (kind.max_length or len(text)):
            wrong = f"The text has {len(text)} characters."
            return self.wrong(node.line, path, wrong, f"Keep it to {kind.max_length}.")
        if kind.pattern is not None and not re.search(kind.pattern, text):
            wrong = f"{shown(text)} is not a span of time."
            return self.wrong(node.line, path, wrong, "Write a number and a unit of s, m, h, d or w, like 60d.")
        if trouble := _trouble(text, one_line=kind.max_length == 200):
            return self.wrong(node.line, path, f"{shown(text)} {trouble}.", "Write it on one line, printable.")
        return text

    def _other_kind(self, node: Node, kind: types.Type, path: Path) -> object:
        want = _want(kind)
        if node.value is None:
            return self.wrong(node.line, path, "It is empty.", f"Write {want}, or remove the line.")
        wrong = f"{_what(node)} stands where {want} is wanted."
        members = kind.types if isinstance(kind, types.UnionType) else (kind,)
        if any(isinstance(m, types.VarTupleType) for m in members) and isinstance(node.value, str):
            right = f"Write a list: [{node.raw[:60]}]."
        elif any(isinstance(m, types.StrType) and m.pattern is None for m in members) and not isinstance(
            node.value, list | dict
        ):
            right = f'Write it in quotes: "{node.raw[:60]}".'
        elif isinstance(kind, types.BoolType) and node.raw.lower() in ("yes", "on", "y", "no", "off", "n"):
            right = f"Write {'true' if node.raw.lower() in ('yes', 'on', 'y') else 'false'}."
        else:
            right = f"Write {want}."
        return self.wrong(node.line, path, wrong, right)


def placeholder(kind: types.Type) -> object:  # noqa: PLR0911  (one a type)
    """Return a value of a type, to stand for a part that is wrong or missing."""
    match kind:
        case types.StructType():
            return {f.encode_name: placeholder(f.type) for f in kind.fields if f.required}
        case types.DictType():
            return {_PLACEHOLDER: placeholder(kind.value_type)} if kind.min_length else {}
        case types.VarTupleType():
            return [placeholder(kind.item_type)] if kind.min_length else []
        case types.LiteralType():
            return kind.values[0]
        case types.UnionType():
            return placeholder(kind.types[0])
        case types.FloatType() | types.IntType():
            return 1
        case types.BoolType():
            return False
        case types.NoneType():
            return None
        case types.StrType(pattern=str()):
            return "1w"
    return _PLACEHOLDER


def _choose(kind: types.Type, node: Node) -> types.Type | None:
    """Return the type, of a union's too, that is of the node's kind."""
    if isinstance(kind, types.UnionType):
        return next((m for m in kind.types if _choose(m, node) is not None), None)
    value = node.value
    match kind:
        case types.StructType() | types.DictType():
            fits = isinstance(value, dict)
        case types.VarTupleType():
            fits = isinstance(value, list)
        case types.LiteralType():
            fits = value is not None and not isinstance(value, dict | list)
        case types.NoneType():
            fits = value is None
        case types.BoolType():
            fits = isinstance(value, bool)
        case types.IntType():
            fits = isinstance(value, int) and not isinstance(value, bool)
        case types.FloatType():
            fits = isinstance(value, int | float) and not isinstance(value, bool)
        case types.StrType():
            fits = isinstance(value, str)
        case _:
            fits = True
    return kind if fits else None


def _want(kind: types.Type) -> str:  # noqa: PLR0911  (one a type)
    match kind:
        case types.UnionType():
            return " or ".join(_want(m) for m in kind.types if not isinstance(m, types.NoneType))
        case types.StructType():
            return f"a mapping with {listed([f.encode_name for f in kind.fields][:6])}"
        case types.DictType():
            return "a mapping"
        case types.VarTupleType():
            return "a list"
        case types.LiteralType():
            return " or ".join(str(v) for v in kind.values)
        case types.BoolType():
            return "true or false"
        case types.IntType():
            return "a whole number"
        case types.FloatType():
            return "a number"
        case types.StrType(pattern=str()):
            return "a span of time like 60d, 1w or 12h"
    return "a text"


def _what(node: Node) -> str:
    value = node.value
    if isinstance(value, dict | list):
        return "A mapping" if isinstance(value, dict) else "A list"
    if isinstance(value, bool):
        return f"The truth value {node.raw}"
    return f"The {'text' if isinstance(value, str) else 'number'} {shown(node.raw)}"


def _trouble(text: str, *, one_line: bool) -> str | None:
    """Return what is wrong with the characters of a text: controls and halves of surrogate pairs."""
    allowed = "" if one_line else "\n\t"
    bad = any(unicodedata.category(c) in ("Cc", "Cs") and c not in allowed for c in text)
    return "holds characters that cannot be shown" if bad else None


def _covers(outer: str, inner: str) -> bool:
    """Return whether clause `outer` is `inner` or holds it; the empty clause covers only itself."""
    return inner == outer or (outer != "" and inner.startswith((outer + ".", outer + "[")))
