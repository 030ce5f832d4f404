"""Segments: one key of a fleet, written `region=South,format=large`; a model without segments has the key `all`."""

from __future__ import annotations

from collections.abc import Mapping

ALL = "all"
_ESCAPES = {"%": "%25", ",": "%2C", "=": "%3D"}


def segment_key(values: Mapping[str, object]) -> str:
    """Return the key of a segment, in the mapping's order; `%`, `,` and `=` inside names and values are escaped."""
    return ",".join(f"{_escape(name)}={_escape(str(value))}" for name, value in values.items()) or ALL


def segment_values(key: str) -> dict[str, str]:
    """Return the columns and values that a key writes."""
    if key == ALL:
        return {}
    pairs = (part.partition("=") for part in key.split(","))
    return {_unescape(name): _unescape(value) for name, _, value in pairs}


def _escape(text: str) -> str:
    return "".join(_ESCAPES.get(c, c) for c in text)


def _unescape(text: str) -> str:
    return text.replace("%2C", ",").replace("%3D", "=").replace("%25", "%")
