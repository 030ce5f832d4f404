"""Ids: `<prefix>_<26 characters>`, sortable by the time they were made (the ULID layout, Crockford base 32)."""

from __future__ import annotations

import hashlib
import random
import re
import secrets
from typing import Protocol

from keepwell.core.clock import Clock
from keepwell.core.errors import InvalidInput

_NOUNS = {"apr": "an approval", "arr": "an arrival", "bat": "a batch", "dsv": "a dataset version", "inc": "an incident",
          "prn": "a pipeline run", "scr": "a scoring", "ses": "a session", "tok": "a token",
          "ver": "a version"}  # fmt: skip
_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = tuple(first + second for first in _ALPHABET for second in _ALPHABET)
_ID = re.compile(r"[a-z]{2,8}_[0-9a-hjkmnp-tv-z]{26}\Z")


class Ids(Protocol):
    """Makes ids that are never made again."""

    def new(self, prefix: str) -> str:
        """Return a new id that starts with `prefix`, two to eight lower-case letters."""


class RandomIds:
    """Ids from the clock and the system's random source."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def new(self, prefix: str) -> str:
        """Return a new id."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        return f"{prefix}_{_encode((milliseconds << 80) | secrets.randbits(80))}"


class SeededIds:
    """Ids from a clock and a seed: the same ones every time, for tests and replay."""

    def __init__(self, clock: Clock, seed: int) -> None:
        self._clock = clock
        self._random = random.Random(seed)  # noqa: S311  (repeatable on purpose)

    def new(self, prefix: str) -> str:
        """Return the next id of the seed's row."""
        milliseconds = int(self._clock.now().timestamp() * 1000)
        return f"{prefix}_{_encode((milliseconds << 80) | self._random.getrandbits(80))}"


def check_id(text: object, prefix: str) -> str:
    """Return `text` when it is an id with that prefix.

    Raises:
        InvalidInput: it is not.
    """
    if not isinstance(text, str) or not _ID.match(text) or not text.startswith(prefix + "_"):
        noun = _NOUNS.get(prefix, f"a {prefix}")
        raise InvalidInput(f"This is not the id of {noun}: it should look like {prefix}_01j....", where="id")
    return text


def derived_id(prefix: str, milliseconds: int, text: str) -> str:
    """Return the id of something that was made elsewhere at a moment: the same every time."""
    digest = int.from_bytes(hashlib.sha256(text.encode()).digest()[:10])
    return f"{prefix}_{_encode((max(0, min(milliseconds, (1 << 48) - 1)) << 80) | digest)}"


def _encode(number: int) -> str:
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(120, -1, -10)])
