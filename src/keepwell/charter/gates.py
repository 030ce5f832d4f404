"""The gates of a charter: the declared ones and those that its risk demands."""

from __future__ import annotations

from keepwell.charter.grammar import Gate, parse_gate
from keepwell.charter.model import Charter
from keepwell.charter.risk import demands_of

__all__ = ["Gate", "all_gates", "implies", "parse_gate"]


def all_gates(charter: Charter) -> tuple[Gate, ...]:
    """Return the gates that a new version must pass: the declared ones, then those that the risk demands.

    A demanded gate that a declared one already implies is left out.

    Raises:
        InvalidInput: a declared gate cannot be read.
    """
    declared = tuple(parse_gate(text) for text in charter.gates)
    extra = (g for g in demands_of(charter).gates if not any(implies(d, g) for d in declared))
    return (*declared, *extra)


def implies(strict: Gate, loose: Gate) -> bool:
    """Return whether a version that passes `strict` passes `loose` too."""
    if (strict.metric, strict.reference, strict.reference_metric) != (
        loose.metric,
        loose.reference,
        loose.reference_metric,
    ):
        return False
    if strict.op[0] != loose.op[0] or (loose.each_slice and not strict.each_slice):
        return False
    a, b = _bound(strict), _bound(loose)
    if a == b:
        return strict.op == loose.op or len(strict.op) == 1
    return a < b if strict.op[0] == "<" else a > b


def _bound(gate: Gate) -> float:
    return gate.factor if gate.value is None else gate.value
