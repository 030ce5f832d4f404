"""Sends what processes that have ended left in their spools."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from keepwell.client import facts
from keepwell.client.courier import Courier, send_all
from keepwell.client.locks import Lock
from keepwell.client.spool import Acked, Reader, discard, sessions, target_of
from keepwell.client.transports import Away, Transport
from keepwell.client.uploads import noted
from keepwell.core.errors import Conflict, InvalidInput, NotFound
from keepwell.settings import ClientSettings
from keepwell.tracking import wire


class Synced(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one spool.

    Attributes:
        session: its id.
        target: where its records go.
        state: sent; live: its process sends itself; waiting: the target is away.
        records: how many were sent now.
        refused: how many can never be stored, with the reasons.
        reasons: why, each once.
        unreadable: bytes of a record that was cut off, or that have changed.
        error: why it waits.
    """

    session: str
    target: str
    state: str
    records: int = 0
    refused: int = 0
    reasons: list[str] = []
    unreadable: int = 0
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Waiting:
    """What a spool holds that was not acknowledged."""

    records: int
    bytes: int


def transport_to(settings: ClientSettings) -> Transport:
    """Return the way to where the settings say that runs are recorded."""
    if settings.remote:
        from keepwell.client.transports.web import Web

        return Web(settings.uri, settings.token)
    from keepwell.client.transports.home import Home

    return Home(settings.uri)


def sync(settings: ClientSettings, *, override: bool = False, tries: int = 4) -> Iterator[Synced]:
    """Send what is left of every dead process, and yield what became of each spool.

    Args:
        settings: the spool's folder, and the token.
        override: send everything to the settings' target, whatever the spools name.
        tries: attempts in a row before a target counts as away.
    """
    for folder in sessions(settings.spool):
        yield sync_one(folder, settings, override=override, tries=tries)


def sync_one(
    folder: Path, settings: ClientSettings, *, override: bool = False, tries: int = 4, orphans: bool = True
) -> Synced:
    """Send what is left of one session, unless its process lives; runs that it did not end are marked interrupted.

    Args:
        folder: the session's folder.
        settings: the token, and with `override` the target.
        override: send to the settings' target.
        tries: attempts in a row before the target counts as away.
        orphans: end the runs that the session started and did not end.
    """
    target = target_of(folder)
    if target is None:
        return Synced(session=folder.name, target="", state="waiting", error="its target.json cannot be read")
    uri = settings.uri if override else target.uri
    lock = Lock(folder / "lock")
    try:
        lock.take()
    except Conflict:
        return Synced(session=folder.name, target=uri, state="live")
    except OSError as error:
        return Synced(session=folder.name, target=uri, state="waiting", error=error.strerror)
    reasons: list[str] = []
    try:
        courier = Courier(
            folder,
            lambda: transport_to(_with_uri(settings, uri)),
            lambda: facts.kept(folder),
            on_refused=reasons.append,
        )
        open_runs = _unfinished(folder) if orphans else []
        try:
            lost = send_all(courier, tries=tries, draw=random.Random())  # noqa: S311  (how long to wait)
            _end_orphans(folder, _with_uri(settings, uri), open_runs)
        except (Away, InvalidInput, NotFound) as error:
            return _told(folder, uri, "waiting", courier, reasons, error=error.message)
        finally:
            courier.close()
        told = _told(folder, uri, "sent", courier, reasons, lost=lost)
        discard(folder)
        return told
    finally:
        lock.release()


def waiting(folder: Path) -> Waiting:
    """Return what a session's folder holds that was not acknowledged."""
    acked = Acked(folder).read()
    size = sum(f.stat().st_size for f in folder.glob("*.log")) - acked.offset
    size += sum(f.stat().st_size for f in (folder / "files").glob("*"))
    count = 0
    reader = Reader(folder, acked)
    while any(True for _ in reader.read()):
        count = reader.position.seq - acked.seq
    reader.close()
    return Waiting(count + noted(folder), max(0, size))


def _with_uri(settings: ClientSettings, uri: str) -> ClientSettings:
    return replace(settings, uri=uri)


def _unfinished(folder: Path) -> list[str]:
    """Return the runs that a session began and did not end."""
    return sorted(p.name for p in (folder / "runs").glob("run_*"))


def _end_orphans(folder: Path, settings: ClientSettings, runs: list[str]) -> None:
    if not runs:
        return
    error = "The process ended without ending the run."
    ops: list[tuple[int, wire.Op]] = [
        (number, wire.Finish(run=run, status="interrupted", error=error, orphan=True))
        for number, run in enumerate(runs, start=1)
    ]
    transport = transport_to(settings)
    try:
        transport.send(wire.Batch(f"{folder.name}-end", ops))
    finally:
        transport.close()


def _told(
    folder: Path, uri: str, state: str, courier: Courier, reasons: list[str], *, lost: int = 0, error: str | None = None
) -> Synced:
    return Synced(
        session=folder.name,
        target=uri,
        state=state,
        records=courier.progress.sent + courier.uploads.sent,
        refused=len(reasons),
        reasons=sorted(set(reasons))[:20],
        unreadable=lost + courier.progress.unreadable,
        error=error,
    )
