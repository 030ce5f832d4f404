"""Verify an export of a Keepwell ledger. One file, Python 3.9 or newer, nothing but the standard library.

    python -I verify.py EXPORT [--checkpoint FILE] [--json]

EXPORT is a folder or a .zip that `keepwell audit export` made; FILE is a checkpoint that somebody else kept
(`keepwell audit checkpoint --out FILE`). Ends with exit code 0 when everything is as it was written, else with 1 after
naming the first bad entry.

What is checked, in this order: every line is strict, canonical JSON; entries are numbered 1, 2, 3 ...; each names the
hash of the one before; each hash is the sha256 of its contents; each note fits its commitment (HMAC-SHA256, RFC 2104);
at every checkpoint, the Merkle tree hash (RFC 6962 section 2.1) of all entries up to it is the one that was signed;
every signature (Ed25519, RFC 8032) is by a key that the held checkpoint's key vouches for.

The file is long because it must stand alone: it is copied into every export.
"""

from __future__ import annotations

import argparse
import hashlib
import hmac
import json
import re
import sys
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

GENESIS = "0" * 64
LARGEST = 2**53 - 1
LONGEST_LINE = 64 << 20
FIELDS = {"actor": str, "at": str, "body": dict, "hash": str, "kind": str, "previous": str, "seq": int, "subject": str}
HASHED = ("actor", "at", "body", "commitment", "kind", "previous", "seq", "subject")
_HEX64 = re.compile(r"[0-9a-f]{64}\Z")
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z\Z")
Record = dict[str, Any]


class Bad(Exception):
    """Something is not as it was written. `entry` is the number of the first bad entry, when one can be named."""

    def __init__(self, what: str, entry: int | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.entry = entry


@dataclass
class Report:
    """What was found.

    `entries` counts the good entries from the first on, `until` is the moment of the last of them, `key` the id of the
    key that vouches for them, `signed` how many of them a verified checkpoint covers.
    """

    ok: bool = True
    entries: int = 0
    until: str = ""
    key: str = ""
    signed: int = 0
    first_bad: int | None = None
    what: str = ""
    remarks: list[str] = field(default_factory=list)

    def last_line(self) -> str:
        """Return the sentence that says it all."""
        key = f"signed by key {self.key} up to entry {self.signed}" if self.signed else "not signed by any key yet"
        until = f", up to {self.until}" if self.until else ""
        if self.ok:
            return f"OK: {self.entries} entries{until}, {key}."
        return f"BAD: only {self.entries} entries are as they were written{until}, {key}."

    def lines(self) -> list[str]:
        """Return all there is to say, the last line last."""
        return [*self.remarks, *([self.what + "."] if self.what else []), self.last_line()]


# --- strict and canonical JSON ---------------------------------------------------------------------------------------


def canonical(value: object) -> bytes:
    """Return the one byte string of a value: UTF-8, keys sorted, no white space, Python's shortest floats."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def parse(line: bytes) -> Any:
    """Return the value of a line that is strict JSON, or raise Bad with what is wrong in it."""
    try:
        return json.loads(line.decode(), parse_int=_whole, parse_constant=_constant, object_pairs_hook=_unique)
    except Bad:
        raise
    except (ValueError, RecursionError) as error:
        raise Bad(f"is not whole JSON (cut, or damaged): {error}") from None


def values(lines: Iterable[bytes], name: str) -> Iterator[Any]:
    """Yield the values of lines that are strict and canonical JSON."""
    for number, line in enumerate(lines, 1):
        try:
            value = parse(line)
            if not _is_canonical(value, line):
                raise Bad("is not written as Keepwell writes it: it was edited, or cut")
        except Bad as bad:
            entry = number if name.startswith("entries") else None
            raise Bad(bad.what if entry else f"The file {name}: line {number} {bad.what}", entry) from None
        yield value


def _is_canonical(value: object, line: bytes) -> bool:
    try:
        return canonical(value) + b"\n" == line
    except (ValueError, RecursionError):
        return False


def _whole(text: str) -> int:
    if len(text) > 17 or abs(int(text)) > LARGEST:
        raise Bad(f"holds the number {text[:24]}, too large to mean the same to every reader")
    return int(text)


def _constant(text: str) -> float:
    raise Bad(f"holds {text}, which is not a number")


def _unique(pairs: list[tuple[str, Any]]) -> Record:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Bad("names a field twice")
    return value


# --- the chain -------------------------------------------------------------------------------------------------------


class Tree:
    """The Merkle tree of RFC 6962, kept as the roots of its full subtrees, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[bytes] = []

    def add(self, leaf: str) -> None:
        """Add an entry's hash (hex)."""
        node, bits = hashlib.sha256(b"\0" + bytes.fromhex(leaf)).digest(), self.size
        while bits & 1:
            node = hashlib.sha256(b"\1" + self.peaks.pop() + node).digest()
            bits >>= 1
        self.peaks.append(node)
        self.size += 1

    def root(self) -> str:
        """Return the tree hash, hex."""
        if not self.peaks:
            return hashlib.sha256(b"").hexdigest()
        node = self.peaks[-1]
        for peak in reversed(self.peaks[:-1]):
            node = hashlib.sha256(b"\1" + peak + node).digest()
        return node.hex()


class Chain:
    """Checks entries one after the other; `take` raises Bad at the first that does not belong."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.last: Record = {"seq": 0, "hash": GENESIS, "previous": "", "at": ""}
        self.without_note = 0
        self.back_in_time: list[int] = []

    def take(self, record: Record) -> None:
        """Check the next entry."""
        number = self.tree.size + 1
        _check_shape(record, number)
        _check_number(record, number)
        if hashlib.sha256(canonical({name: record[name] for name in HASHED})).hexdigest() != record["hash"]:
            raise Bad("was changed after it was written: its contents no longer give its hash", number)
        _check_link(record, number, self.last)
        self._check_note(record, number)
        if record["at"] < self.last["at"]:
            self.back_in_time.append(number)
        self.tree.add(record["hash"])
        self.last = record

    def _check_note(self, record: Record, number: int) -> None:
        if record["commitment"] is None:
            if "note" in record:
                raise Bad("has a note that was not there when it was written", number)
        elif "note" not in record:
            self.without_note += 1
        else:
            made = hmac.new(bytes.fromhex(record["salt"]), record["note"].encode(), hashlib.sha256).hexdigest()
            if made != record["commitment"]:
                raise Bad("has another note than when it was written: the note no longer fits its commitment", number)


def _check_shape(record: Any, number: int) -> None:
    if not isinstance(record, dict):
        raise Bad("is not an entry", number)
    for name, kind in FIELDS.items():
        if type(record.get(name)) is not kind:
            raise Bad(f"has no proper field {name!r}: it was removed or changed", number)
    if "commitment" not in record or (record["commitment"] is not None and not _is_hash(record["commitment"])):
        raise Bad("has no proper field 'commitment': it was removed or changed", number)
    if not _is_hash(record["hash"]) or not _is_hash(record["previous"]) or not _MOMENT.match(record["at"]):
        raise Bad("has a hash or a moment that Keepwell never writes: it was changed", number)
    extra = set(record) - set(FIELDS) - {"commitment", "note", "salt"}
    if extra or ("note" in record) != ("salt" in record):
        raise Bad("has other fields than an entry has: " + ", ".join(sorted(extra) or ["note without salt"]), number)
    if "note" in record and not (isinstance(record["note"], str) and _is_hash(record["salt"])):
        raise Bad("has a note or salt that Keepwell never writes: it was changed", number)


def _check_number(record: Record, number: int) -> None:
    if record["seq"] > number:
        raise Bad(f"is missing: entry {record['seq']} stands in its place (it was cut out or moved)", number)
    if record["seq"] < number:
        raise Bad(f"is not there: a second entry {record['seq']} stands in its place (an insert or a fork)", number)


def _check_link(record: Record, number: int, last: Record) -> None:
    if record["previous"] != last["hash"]:
        if record["previous"] == last["previous"]:
            raise Bad(f"follows entry {number - 2} instead of entry {number - 1}: the history was forked", number)
        raise Bad(f"does not follow entry {number - 1}: one of the two was changed, with its hash made anew", number)


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and _HEX64.match(value) is not None


# --- checkpoints and keys --------------------------------------------------------------------------------------------


def checkpoint_statement(checkpoint: Record) -> bytes:
    """Return the bytes that a checkpoint's signature is over."""
    signed = {name: checkpoint[name] for name in ("at", "key", "root", "size")}
    return canonical({"statement": "keepwell ledger checkpoint 1", **signed})


def key_statement(added: Record) -> bytes:
    """Return the bytes that an older key signs to introduce a newer one."""
    signed = {name: added[name] for name in ("introduced_by", "key", "public")}
    return canonical({"statement": "keepwell ledger key 1", **signed})


def key_id(public: str) -> str:
    """Return the id of a public key (hex): the first 16 hex digits of its sha256."""
    return hashlib.sha256(bytes.fromhex(public)).hexdigest()[:16]


def check_checkpoint_shape(checkpoint: Any, what: str) -> Record:
    """Return a checkpoint whose fields have the right form, or raise Bad."""
    kinds = {"at": _MOMENT, "key": re.compile(r"[0-9a-f]{16}\Z"), "root": _HEX64,
             "signature": re.compile(r"[0-9a-f]{128}\Z")}  # fmt: skip
    good = isinstance(checkpoint, dict) and type(checkpoint.get("size")) is int and checkpoint["size"] > 0
    if not good or not all(isinstance(checkpoint.get(n), str) and p.match(checkpoint[n]) for n, p in kinds.items()):
        raise Bad(f"{what} is not a checkpoint of a Keepwell ledger")
    return dict(checkpoint)


def check_held(held: Any) -> Record:
    """Return the checkpoint that somebody kept, after checking that it is whole and properly signed."""
    checkpoint = check_checkpoint_shape(held, "The checkpoint file")
    public, trail = checkpoint.get("public"), checkpoint.get("trail", {"every": 1, "hashes": ""})
    if not isinstance(public, str) or not _is_hash(public) or key_id(public) != checkpoint["key"]:
        raise Bad("The checkpoint file holds no public key that fits its key id")
    if not signature_holds(public, checkpoint_statement(checkpoint), checkpoint["signature"]):
        raise Bad("The checkpoint file's signature is not by its key: the file was changed")
    shaped = isinstance(trail, dict) and type(trail.get("every")) is int and trail["every"] > 0
    if not shaped or not re.match(r"([0-9a-f]{16})*\Z", str(trail.get("hashes"))):
        raise Bad("The checkpoint file's trail is damaged")
    checkpoint["trail"] = trail
    return checkpoint


class Keys:
    """Which keys are vouched for: the held one, those it covers or introduced, or the export's first on trust."""

    def __init__(self, held: Record | None) -> None:
        self.held = held
        self.known: dict[str, str] = {held["key"]: held["public"]} if held else {}
        self.added: dict[str, Record] = {}
        self.lost: list[tuple[int, str]] = []

    def take(self, record: Record) -> None:
        """Learn a key from the entry that added it."""
        if record["kind"] != "ledger.key_added":
            return
        body, number = record["body"], record["seq"]
        key, public = body.get("key"), body.get("public")
        if not _is_hash(public) or key_id(public) != key:
            raise Bad("adds a signing key whose id does not fit it", number)
        self.added[key] = {name: body.get(name) for name in ("introduced_by", "introduction", "key", "public")}
        covered = self.held is not None and number <= self.held["size"]
        if covered or not self.known or self._introduced(self.added[key]):
            self.known[key] = public
        elif self.held is None:
            self.known[key] = public
            self.lost.append((number, key))

    def _introduced(self, added: Record) -> bool:
        older = self.known.get(str(added["introduced_by"]))
        signature = added["introduction"]
        return bool(older and isinstance(signature, str) and signature_holds(older, key_statement(added), signature))

    def check_list(self, listed: Any) -> None:
        """Check that the list of keys in the export says what the ledger says."""
        if not isinstance(listed, list) or not all(isinstance(k, dict) for k in listed):
            raise Bad("The file keys.json is not a list of keys")
        told = {
            str(k.get("key")): {n: k.get(n) for n in ("introduced_by", "introduction", "key", "public")} for k in listed
        }
        if told != self.added:
            raise Bad("The file keys.json does not list the keys that the ledger's entries added")

    def check_signature(self, checkpoint: Record) -> None:
        """Check a checkpoint's signature by a key that is vouched for."""
        name = f"The checkpoint over the first {checkpoint['size']} entries"
        public = self.known.get(checkpoint["key"])
        if public is None:
            whose = "the key of the checkpoint you hold" if self.held else "the ledger's own key"
            added = next((k for k in self.added if k == checkpoint["key"]), None)
            how = "which that key never introduced" if added else "which the ledger never added"
            raise Bad(f"{name} is signed by key {checkpoint['key']} instead of {whose}, {how}: it was signed anew")
        if not signature_holds(public, checkpoint_statement(checkpoint), checkpoint["signature"]):
            raise Bad(f"{name} has a signature that is not by key {checkpoint['key']}: it was changed")


class Audit:
    """One verification: entries against checkpoints, trail and keys."""

    def __init__(self, checkpoints: Iterable[Record], held: Record | None) -> None:
        self.report = Report()
        self.chain = Chain()
        self.held = held
        self.keys = Keys(held)
        self.good = (0, "")
        self.marks: dict[int, list[Record]] = {}
        for checkpoint in [*checkpoints, *([held] if held else [])]:
            self.marks.setdefault(checkpoint["size"], []).append(checkpoint)

    def take(self, record: Any) -> None:
        """Check the next entry against the chain, the trail, and the checkpoints that end at it."""
        number = self.chain.tree.size + 1
        self.chain.take(record)
        self._check_trail(record, number)
        for mark in self.marks.get(number, ()):
            if self.chain.tree.root() != mark["root"]:
                whose = "the checkpoint you hold" if mark is self.held else "the ledger's own checkpoint"
                raise self._differs(number, f"{whose} of {mark['at']} was signed")
            self.good = (number, record["at"])
        self.keys.take(record)
        self.report.entries, self.report.until = number, record["at"]

    def _check_trail(self, record: Record, number: int) -> None:
        if self.held is None or number > self.held["size"] or number % self.held["trail"]["every"]:
            return
        start = (number // self.held["trail"]["every"] - 1) * 16
        kept = self.held["trail"]["hashes"][start : start + 16]
        if kept and record["hash"][:16] != kept:
            raise self._differs(number, f"the checkpoint you hold of {self.held['at']} was signed")
        if kept:
            self.good = (number, record["at"])

    def _differs(self, number: int, when: str) -> Bad:
        first = self.good[0] + 1
        self.report.entries, self.report.until = self.good
        if first == number:
            return Bad(f"is not the one that stood there when {when}: the ledger was rewritten from here on", number)
        what = f"or one after it, up to entry {number}, is not the one that stood there when {when}: it was rewritten"
        return Bad(what, first)

    def finish(self, listed_keys: Any) -> Report:
        """Check what needs the whole: nothing cut off, signatures, keys."""
        count, furthest = self.chain.tree.size, max(self.marks, default=0)
        if furthest > count:
            mark = self.marks[furthest][0]
            whose = "the checkpoint you hold" if mark is self.held else "the ledger's own checkpoint"
            raise Bad(
                f"is missing: {whose} of {mark['at']} covers {furthest} entries and the export ends at {count}. The "
                "end was cut off, or an older database was restored (or the export is older than the checkpoint)",
                count + 1,
            )
        self.keys.check_list(listed_keys)
        for size in sorted(self.marks):
            for mark in self.marks[size]:
                self._check_signature(mark)
            self.report.signed, self.report.key = size, self.marks[size][-1]["key"]
        self._remark(count)
        return self.report

    def _check_signature(self, mark: Record) -> None:
        if mark is self.held:
            return  # checked before anything else
        try:
            self.keys.check_signature(mark)
        except Bad as bad:
            raise Bad(bad.what, self.report.signed + 1) from None

    def _remark(self, count: int) -> None:
        remark = self.report.remarks.append
        if self.held is None:
            remark("No checkpoint kept elsewhere was given: a rewrite of everything, signed anew, could not be seen.")
        if count > self.report.signed:
            remark(
                f"{count - self.report.signed} entries are newer than the last checkpoint; no signature covers them."
            )
        for number, key in self.keys.lost:
            remark(f"Entry {number} starts key {key} without an older key's signature: the older key was lost.")
        if self.chain.without_note:
            remark(f"{self.chain.without_note} entries had a note that is not in the export (left out, or erased).")
        if self.chain.back_in_time:
            back = self.chain.back_in_time
            remark(
                f"The clock went back {len(back)} times, first at entry {back[0]}; numbers give the order, not moments."
            )


def audit(records: Iterable[Any], checkpoints: Iterable[Any], keys: Any, held: Any = None) -> Report:
    """Verify entries (in order, as the export writes them) against checkpoints, keys and a held checkpoint."""
    work: Audit | None = None
    try:
        kept = None if held is None else check_held(held)
        work = Audit([check_checkpoint_shape(c, "A line of checkpoints.jsonl") for c in checkpoints], kept)
        for record in records:
            work.take(record)
        return work.finish(keys)
    except Bad as bad:
        report = work.report if work else Report()
        report.ok, report.first_bad = False, bad.entry
        report.what = bad.what if bad.entry is None or bad.what.startswith("The ") else f"Entry {bad.entry} {bad.what}"
        return report


# --- Ed25519, RFC 8032 section 5.1 -----------------------------------------------------------------------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, -1, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
Point = tuple[int, int, int, int]


def signature_holds(public: str, message: bytes, signature: str) -> bool:
    """Tell whether an Ed25519 signature (hex) of a message is by a public key (hex)."""
    key, sign = bytes.fromhex(public), bytes.fromhex(signature)
    if len(key) != 32 or len(sign) != 64:
        return False
    point, commit, s = _decode(key), _decode(sign[:32]), int.from_bytes(sign[32:], "little")
    if point is None or commit is None or s >= _L or _same(_times(8, point), (0, 1, 1, 0)):
        return False
    k = int.from_bytes(hashlib.sha512(sign[:32] + key + message).digest(), "little") % _L
    return _same(_times(s, _BASE), _sum(commit, _times(k, point)))


def _decode(data: bytes) -> Point | None:
    y = int.from_bytes(data, "little")
    odd, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, -1, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if x * x % _P != square:
        x = x * _ROOT % _P
    if x * x % _P != square or (x == 0 and odd):
        return None
    x = _P - x if x & 1 != odd else x
    return (x, y, 1, x * y % _P)


def _sum(a: Point, b: Point) -> Point:
    p, q = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    r, s = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = q - p, s - r, s + r, q + p
    return (e * f % _P, g * h % _P, f * g % _P, e * h % _P)


def _times(factor: int, point: Point) -> Point:
    total: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            total = _sum(total, point)
        point, factor = _sum(point, point), factor >> 1
    return total


def _same(a: Point, b: Point) -> bool:
    return (a[0] * b[2] - b[0] * a[2]) % _P == 0 and (a[1] * b[2] - b[1] * a[2]) % _P == 0


_BASE = _decode((4 * pow(5, -1, _P) % _P).to_bytes(32, "little")) or (0, 1, 1, 0)


# --- the export on disk ----------------------------------------------------------------------------------------------


class Export:
    """A folder or a zip with entries.jsonl, checkpoints.jsonl and keys.json."""

    def __init__(self, place: Path) -> None:
        self.place = place
        try:
            self.archive = zipfile.ZipFile(place) if place.is_file() else None
        except (zipfile.BadZipFile, OSError) as error:
            raise Bad(f"{place} cannot be read as a zip file: {error}") from None

    def open(self, name: str) -> IO[bytes]:
        """Open one file of the export."""
        try:
            return self.archive.open(name) if self.archive else (self.place / name).open("rb")
        except (KeyError, OSError, RuntimeError, zipfile.BadZipFile):
            raise Bad(f"{self.place} is not an export of a Keepwell ledger, or {name} was taken out of it") from None

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a file."""
        number = 0
        with self.open(name) as file:
            try:
                while line := file.readline(LONGEST_LINE):
                    number += 1
                    yield line
            except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
                raise Bad(f"The file {name} cannot be read after line {number}: {error}", number + 1) from None

    def whole(self, name: str) -> Any:
        """Return the value of a JSON file."""
        with self.open(name) as file:
            try:
                return parse(file.read(LONGEST_LINE))
            except Bad as bad:
                raise Bad(f"The file {name} {bad.what}") from None
            except (zipfile.BadZipFile, zlib.error, OSError, EOFError) as error:
                raise Bad(f"The file {name} cannot be read: {error}") from None


def read_held(place: Path) -> Any:
    """Return what a checkpoint file holds, unchecked."""
    try:
        return parse(place.read_bytes())
    except OSError as error:
        raise Bad(f"The checkpoint file {place} cannot be read: {error.strerror}") from None
    except Bad as bad:
        raise Bad(f"The checkpoint file {place} {bad.what}") from None


def verify(place: Path, held: Path | None = None) -> Report:
    """Verify an export, against a checkpoint that was kept elsewhere when one is given."""
    try:
        checkpoint = None if held is None else read_held(held)
        export = Export(place)
        keys = export.whole("keys.json")
        checkpoints = list(values(export.lines("checkpoints.jsonl"), "checkpoints.jsonl"))
        entries = values(export.lines("entries.jsonl"), "entries.jsonl")
    except Bad as bad:
        return Report(ok=False, what=bad.what, first_bad=bad.entry)
    return audit(entries, checkpoints, keys, checkpoint)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    parser = argparse.ArgumentParser(description="Verify an export of a Keepwell ledger.")
    parser.add_argument("export", type=Path, help="the folder or .zip that `keepwell audit export` made")
    parser.add_argument("--checkpoint", type=Path, help="a checkpoint that was kept elsewhere")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    options = parser.parse_args(arguments)
    report = verify(options.export, options.checkpoint)
    if options.json:
        sys.stdout.write(json.dumps({**asdict(report), "last_line": report.last_line()}) + "\n")
    else:
        sys.stdout.write("\n".join(report.lines()) + "\n")
    return 0 if report.ok else 1


if __name__ == "__main__":
    sys.exit(main())
