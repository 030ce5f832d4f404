"""The grammar of gates: rules over evidence, as one line of text.

Grammar: `metric op number`, `metric op baseline.metric [* factor]` or `metric op champion.metric [* factor]`, where op
is one of `<`, `<=`, `>`, `>=`; followed, if every slice must pass by itself, by `in every slice`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

from keepwell.charter.findings import nearest, shown
from keepwell.charter.model import METRICS
from keepwell.core.errors import InvalidInput

_EACH = re.compile(r"\s+in\s+every\s+slice\Z")
_GATE = re.compile(r"(?P<metric>\w+)\s*(?P<op><=|>=|<|>)\s*(?P<right>\S.*)\Z", re.ASCII)
_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z", re.ASCII)
_REFERENCE = re.compile(
    r"(?P<who>[a-z_]+)\s*\.\s*(?P<metric>\w+)(?:\s*\*\s*(?P<factor>\S+))?\Z", re.ASCII | re.IGNORECASE
)
FORMS = "Write 'mape <= 0.45', 'mape < baseline.mape' or 'mape <= champion.mape * 1.02'."


@dataclass(frozen=True, slots=True)
class Gate:
    """One rule that evidence must pass.

    Attributes:
        text: the gate as it is written.
        metric: the left side: a metric of the version that is judged.
        op: `<`, `<=`, `>` or `>=`.
        factor: what the reference's metric is multiplied with; 1.0 for a plain value.
        reference: what the right side is: a plain `value`, the `baseline` or the `champion`.
        reference_metric: the metric of the reference; None for a plain value.
        value: the plain value; None for a reference.
        each_slice: every slice must pass by itself, not only the whole.
        why: for a gate that the risk demands, the sentence that says why; empty for a declared one.
    """

    text: str
    metric: str
    op: str
    factor: float
    reference: Literal["value", "baseline", "champion"]
    reference_metric: str | None
    value: float | None
    each_slice: bool
    why: str = ""


def parse_gate(text: str, why: str = "") -> Gate:
    """Return the gate that `text` writes.

    Raises:
        InvalidInput: it is not of the grammar, names an unknown metric, or a number in it is not finite; the message
            says what is wrong and what would be right.
    """
    plain = " ".join(text.split())
    body = _EACH.sub("", plain)
    match = _GATE.match(body) if len(plain) <= 200 else None
    if match is None:
        raise InvalidInput(f"{shown(plain)} is not a gate. {FORMS}")
    metric, op, right = match["metric"], match["op"], match["right"]
    _known(metric)
    each = body != plain
    if _NUMBER.match(right):
        return Gate(plain, metric, op, 1.0, "value", None, _finite(right), each, why)
    reference = _REFERENCE.match(right)
    if reference is None:
        raise InvalidInput(_explain_right(metric, op, right))
    who = reference["who"]
    if who not in ("baseline", "champion"):
        raise InvalidInput(f"A gate cannot refer to {shown(who)}. {nearest(who, ('baseline', 'champion'))}")
    _known(reference["metric"])
    factor = _factor(reference["factor"])
    return Gate(
        plain,
        metric,
        op,
        factor,
        "baseline" if who == "baseline" else "champion",
        reference["metric"],
        None,
        each,
        why,
    )


def _known(metric: str) -> None:
    if metric not in METRICS:
        raise InvalidInput(f"{shown(metric)} is not a metric. {nearest(metric, METRICS)}")


def _factor(text: str | None) -> float:
    if text is None:
        return 1.0
    if not _NUMBER.match(text):
        raise InvalidInput(f"The factor {shown(text)} is not a number. {FORMS}")
    factor = _finite(text)
    if factor <= 0:
        raise InvalidInput(f"The factor {text} is not above 0. Write one near 1, such as 1.02.")
    return factor


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidInput(f"{shown(text)} is not a finite number. Write one, such as 0.45.")
    return number


def _explain_right(metric: str, op: str, right: str) -> str:
    if right.endswith("%") and _NUMBER.match(right[:-1].strip()):
        fraction = f"{float(right[:-1]) / 100:.6g}"
        return f"A gate has no per cent: {shown(right)}. Write the fraction: '{metric} {op} {fraction}'."
    if right.lower().lstrip("+-.") in ("nan", "inf", "infinity"):
        return f"{shown(right)} is not a finite number. Write one, such as '{metric} {op} 0.45'."
    return f"The right side {shown(right)} of the gate cannot be read. {FORMS}"
