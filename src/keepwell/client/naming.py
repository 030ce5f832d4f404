"""Names for runs that nobody named: two words and a number, drawn from the run's id. Pure."""

from __future__ import annotations

_FIRST = (
    "amber", "brisk", "calm", "clear", "coral", "crisp", "dusky", "eager", "fair", "fleet", "gentle", "glad", "golden",
    "hardy", "hazel", "keen", "lively", "lucid", "mellow", "merry", "mild", "noble", "pale", "plain", "proud", "quick",
    "quiet", "rapid", "ready", "rustic", "silver", "steady", "still", "sunny", "swift", "tidy", "vivid", "warm", "wise",
)  # fmt: skip
_SECOND = (
    "acorn", "alder", "aspen", "badger", "beacon", "birch", "brook", "cedar", "comet", "crane", "delta", "ember",
    "falcon", "fern", "finch", "forge", "grove", "harbor", "heron", "ibis", "island", "lark", "linden", "maple",
    "meadow", "otter", "pebble", "pine", "plover", "raven", "reed", "ridge", "river", "sparrow", "spring", "stone",
    "summit", "thistle", "valley", "willow", "wren",
)  # fmt: skip


def two_words(run_id: str) -> str:
    """Return a name for a run."""
    number = int.from_bytes(run_id[-8:].encode(), "big")
    first, rest = number % len(_FIRST), number // len(_FIRST)
    return f"{_FIRST[first]}-{_SECOND[rest % len(_SECOND)]}-{rest // len(_SECOND) % 1000}"
