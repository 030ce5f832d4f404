"""Names for runs and models whose clients give none: an adjective, a noun and a number, always the same for an id."""

from __future__ import annotations

import hashlib

_HOW_WORDS = (
    "able amber brave brisk calm clear clever crisp deep eager early even fair fast firm fresh gentle glad golden "
    "grand green happy honest keen kind lively lucky mellow merry mild neat nimble noble patient plain polite proud "
    "quick quiet rapid ready royal sharp shy silent silver sincere smart smooth steady still strong sunny sure swift "
    "tidy true vivid warm wise"
)
_WHAT_WORDS = (
    "alder badger beech birch bison cedar crane deer dove eagle elk elm falcon fern finch fir fox goose grouse hare "
    "hawk hazel heron horse ibis jay kite lark linden lynx maple marten moose newt oak olive otter owl perch pine "
    "plover poplar quail raven robin rowan salmon seal sparrow spruce stork swan teal tern thrush trout vole walnut "
    "willow wren"
)
_HOW, _WHAT = _HOW_WORDS.split(), _WHAT_WORDS.split()


def name_of(identity: str) -> str:
    """Return the name of what has this id."""
    bits = int.from_bytes(hashlib.sha256(identity.encode()).digest()[:8], "big")
    return f"{_HOW[bits % len(_HOW)]}-{_WHAT[(bits >> 16) % len(_WHAT)]}-{(bits >> 32) % 1000}"
