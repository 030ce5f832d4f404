"""The only chooser: settings in, an opened house out."""

from __future__ import annotations

from keepwell.blobs import LocalBlobs
from keepwell.core import failpoints
from keepwell.core.clock import Clock, SystemClock
from keepwell.core.errors import Unavailable
from keepwell.core.ids import Ids, RandomIds
from keepwell.db import connect
from keepwell.db.migrate import migrate
from keepwell.flows.kit import Kit
from keepwell.settings import Settings
from keepwell.tracking.default import furnish


def open_house(settings: Settings, *, clock: Clock | None = None, ids: Ids | None = None) -> Kit:
    """Open (and on first use make) the house that the settings name.

    Raises:
        InvalidInput: a setting cannot be used.
        NotInstalled: the driver of the database is missing.
        Unavailable: the database or the folder cannot be opened.
    """
    if settings.failpoints:
        failpoints.arm(settings.failpoints)
    try:
        settings.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        why = error.strerror or "it cannot be made"
        raise Unavailable(
            f"The home folder {settings.home} cannot be used: {why}. Name another with --home or KEEPWELL_HOME."
        ) from None
    backups = None if settings.backed_up else settings.home / "backups"
    database = connect(settings.database, connections=settings.connections, backups=backups)
    migrate(database)
    chosen = clock or SystemClock()
    furnish(database, chosen)
    return Kit(
        home=settings.home,
        db=database,
        blobs=LocalBlobs(settings.home / "blobs"),
        clock=chosen,
        ids=ids or RandomIds(chosen),
        workers=settings.workers,
    )
