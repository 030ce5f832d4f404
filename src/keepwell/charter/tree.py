"""A YAML text as a tree in which every value knows its line, within bounds.

Scalars are read by the core schema of YAML 1.2 (section 10.3.2), so `on`, `no`, `12:30` and `2011-01-01` stay text.
Refused are: duplicate keys, tags, keys that are not text, more than a few aliases, and texts too large, deep or long.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

import yaml

from keepwell.charter.findings import Finding, shown

MAX_CHARACTERS = 131_072
MAX_DEPTH = 24
MAX_NODES = 8_000
MAX_ALIASES = 32
_IMPLICIT = "implicit"
_INT = re.compile(r"[-+]?[0-9]+\Z")
_BASED = re.compile(r"0o[0-7]{1,16}\Z|0x[0-9a-fA-F]{1,14}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_WORDS: dict[str, bool | float | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
    **dict.fromkeys((".inf", ".Inf", ".INF", "+.inf", "+.Inf", "+.INF"), float("inf")),
    **dict.fromkeys(("-.inf", "-.Inf", "-.INF"), float("-inf")),
}

Scalar = str | int | float | bool | None


@dataclass(slots=True)
class Node:
    """A value of the text.

    Attributes:
        line: where it starts, from 1.
        value: a scalar, a list of nodes, or a mapping from text to nodes.
        raw: the scalar as it is written; empty for lists and mappings.
        key_lines: for a mapping, key to the line of the key.
    """

    line: int
    value: Scalar | list[Node] | dict[str, Node]
    raw: str = ""
    key_lines: dict[str, int] = field(default_factory=dict)

    def plain(self) -> object:
        """Return the value as builtins."""
        if isinstance(self.value, dict):
            return {key: child.plain() for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain() for child in self.value]
        return self.value


def parse_tree(text: str) -> tuple[Node | None, list[Finding]]:
    """Return the tree of a YAML text and what is wrong with it; the tree is None when it cannot be read at all."""
    if len(text) > MAX_CHARACTERS:
        wrong = f"The text has {len(text):,} characters."
        return None, [Finding(None, "", wrong, f"Keep it under {MAX_CHARACTERS:,}.")]
    builder = _Builder()
    try:
        composed = _Loader(text).get_single_node()
        if composed is None:
            return None, [Finding(1, "", "The text is empty.", "Write the fields, one a line: `name: value`.")]
        return builder.build(composed, ""), builder.findings
    except _OutOfBoundsError as error:
        finding = error.finding
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        wrong = f"The character {_character(error.character)} cannot stand in YAML."
        finding = Finding(line, "", wrong, "Remove it, or write it as an escape in double quotes.")
    except yaml.MarkedYAMLError as error:
        finding = _syntax(error)
    except (ValueError, OverflowError):  # an escape like "\UFFFFFFFF" is no character, which PyYAML does not tell
        finding = Finding(None, "", "An escape in double quotes is not a character.", "Correct the escape.")
    return None, [*builder.findings, finding]


def resolve(raw: str) -> Scalar:
    """Return the value of a plain scalar by the core schema of YAML 1.2; too large a number is an infinity."""
    if raw in _WORDS:
        return _WORDS[raw]
    if _INT.match(raw):
        return int(raw) if len(raw) <= 18 else float(raw)
    if _BASED.match(raw):
        return int(raw, 0)
    return float(raw) if _FLOAT.match(raw) else raw


class _OutOfBoundsError(Exception):
    def __init__(self, line: int, wrong: str, right: str) -> None:
        self.finding = Finding(line, "", wrong, right)
        super().__init__(wrong)


class _Loader(yaml.SafeLoader):
    """Composes nodes and nothing more: within bounds, and with implicit tags left unresolved."""

    depth = 0
    nodes = 0
    aliases = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        line: int = self.peek_event().start_mark.line + 1  # type: ignore[no-untyped-call]
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise _OutOfBoundsError(line, f"There are more than {MAX_NODES:,} values.", "Write fewer.")
        if self.check_event(yaml.AliasEvent):
            self.aliases += 1
            if self.aliases > MAX_ALIASES:
                wrong = f"There are more than {MAX_ALIASES} aliases (*name)."
                raise _OutOfBoundsError(line, wrong, "Write the values out.")
        if self.depth >= MAX_DEPTH:
            raise _OutOfBoundsError(line, f"Values are nested deeper than {MAX_DEPTH}.", "Nest less.")
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def resolve(self, kind: object, value: object, implicit: object) -> str:
        return _IMPLICIT


class _Builder:
    """Turns composed nodes into ours; an alias is built again, so that bombs meet the bound on values."""

    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.built = 0
        self.open: set[int] = set()

    def build(self, node: yaml.Node, path: str) -> Node:
        line = node.start_mark.line + 1
        self.built += 1
        if self.built > MAX_NODES:
            wrong = f"With its aliases written out the text has more than {MAX_NODES:,} values."
            raise _OutOfBoundsError(line, wrong, "Use fewer aliases (*name).")
        if id(node) in self.open:
            raise _OutOfBoundsError(line, "An alias (*name) stands inside its own anchor.", "Write the value out.")
        if node.tag != _IMPLICIT:
            self.findings.append(
                Finding(line, path, f"The tag {shown(node.tag)} is not read.", "Remove it; quotes make text.")
            )
        self.open.add(id(node))
        try:
            return self._inside(node, path, line)
        finally:
            self.open.discard(id(node))

    def _inside(self, node: yaml.Node, path: str, line: int) -> Node:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, line)
        if isinstance(node, yaml.SequenceNode):
            children = [self.build(child, f"{path}[{i}]") for i, child in enumerate(node.value)]
            return Node(line, children)
        assert isinstance(node, yaml.ScalarNode)  # noqa: S101
        raw: str = node.value
        return Node(line, resolve(raw) if node.style is None else raw, raw=raw)

    def _mapping(self, node: yaml.MappingNode, path: str, line: int) -> Node:
        values: dict[str, Node] = {}
        lines: dict[str, int] = {}
        for key, child in node.value:
            at = key.start_mark.line + 1
            if not isinstance(key, yaml.ScalarNode):
                self.findings.append(Finding(at, path, "A key is not text.", "Write `name: value`."))
                continue
            name: str = key.value
            clause = f"{path}.{name}" if path else name
            built = self.build(child, clause)
            if name in values:
                wrong = f"{shown(name)} is written twice, first on line {lines[name]}."
                self.findings.append(Finding(at, clause, wrong, "Keep one of the two."))
                continue
            values[name], lines[name] = built, at
        return Node(line, values, key_lines=lines)


def _syntax(error: yaml.MarkedYAMLError) -> Finding:
    mark = error.problem_mark or error.context_mark
    problem = " ".join(filter(None, (error.context, error.problem)))
    if "found another document" in problem or "expected a single document" in problem:
        right = "Keep one document: remove the line `---` and what follows."
    elif "tab" in problem or "'\\t'" in problem:
        right = "Indent with spaces, not tabs."
    else:
        right = "Check the indentation, brackets and quotes here and on the line before."
    return Finding(mark.line + 1 if mark else None, "", f"This is not YAML: {problem}.", right)


def _character(character: object) -> str:
    return f"U+{character:04X}" if isinstance(character, int) else shown(character)
