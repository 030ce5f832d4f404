"""Notice when a file that a version rests on has moved, changed or vanished."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from keepwell.core.errors import NotFound
from keepwell.datasets.model import Manifest, Noticed, SourceFile
from keepwell.datasets.sources import scan


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a version's files.

    Attributes:
        noticed: what happened, file by file, sorted by name; new files last.
        files: how many files the version rests on.
        seen: the files as they were seen now, for the next check.
    """

    noticed: list[Noticed]
    files: int
    seen: list[SourceFile]

    @property
    def whole(self) -> bool:
        """Whether every file is where it was and what it was; new files do not count."""
        return all(one.happened == "new" for one in self.noticed)


def check_sources(
    manifest: Manifest, *, known: Mapping[str, SourceFile] | None = None, arrived: Collection[str] = ()
) -> Checked:
    """Compare a version's files with what lies there now; files whose size and times are the same are not read again.

    Args:
        manifest: what the version is made of.
        known: files as they were last seen, by uri, where that is newer than the manifest.
        arrived: digests of files that are no news: those in quarantine, and those that were rejected.

    Raises:
        InvalidInput: a link in the folder leads out of it.
        Conflict: a file is being written.
    """
    rests = {file.uri: file for file in manifest.sources() if file.uri.startswith("/")}
    last = {**rests, **{uri: file for uri, file in (known or {}).items() if uri in rests}}
    present = {file.uri: file for file in _present(manifest, rests, last)}
    fresh = {uri: file for uri, file in present.items() if uri not in rests}
    homeless = {file.sha256: uri for uri, file in sorted(fresh.items(), reverse=True)}
    noticed: list[Noticed] = []
    for uri, file in rests.items():
        now = present.get(uri)
        if now is file or (now is not None and now.sha256 == file.sha256):
            continue
        if now is not None:
            sentence = f"{uri} has changed: it was {file.size:,} bytes, {file.sha256[:15]}, and is {now.size:,} bytes, "
            noticed.append(Noticed(uri, "changed", f"{sentence}{now.sha256[:15]}."))
        elif file.sha256 in homeless:
            to = homeless.pop(file.sha256)
            fresh.pop(to, None)
            noticed.append(Noticed(uri, "moved", f"{uri} has moved to {to}.", to))
        else:
            noticed.append(Noticed(uri, "vanished", f"{uri} is gone."))
    digests = {file.sha256 for file in rests.values()} | set(arrived)
    new = [
        Noticed(uri, "new", f"{uri} is new and in no version yet.")
        for uri, file in fresh.items()
        if file.sha256 not in digests
    ]
    noticed.sort(key=lambda one: one.uri)
    return Checked([*noticed, *sorted(new, key=lambda one: one.uri)], len(rests), list(present.values()))


def _present(
    manifest: Manifest, rests: Mapping[str, SourceFile], last: Mapping[str, SourceFile]
) -> Sequence[SourceFile]:
    patterns = [pattern for pattern in manifest.patterns if pattern]
    found = scan(patterns, Path(manifest.folder), known=last, missing_ok=True) if patterns else []
    seen = {file.uri for file in found}
    for uri in rests:
        if uri not in seen:
            try:
                found.extend(scan([uri], Path("/"), known=last, missing_ok=True))
            except NotFound:
                continue
    return found
