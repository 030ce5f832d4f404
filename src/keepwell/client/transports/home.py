"""A house in this process: the same services that a server calls, on the home folder's database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from keepwell.client.transports import Away
from keepwell.client.user import local_user
from keepwell.core.errors import Unavailable
from keepwell.tracking import wire

if TYPE_CHECKING:
    from keepwell.flows.kit import Kit


class Home:
    """The house of a home folder, opened when it is first needed."""

    def __init__(self, uri: str, kit: Kit | None = None) -> None:
        self.folder = uri
        self._kit = kit

    @property
    def kit(self) -> Kit:
        """The opened house.

        Raises:
            Away: it cannot be opened now.
        """
        if self._kit is None:
            from keepwell.bootstrap import open_house
            from keepwell.settings import read_settings

            try:
                self._kit = open_house(read_settings(self.folder))
            except Unavailable as error:
                raise Away(error.message) from error
        return self._kit

    @property
    def actor(self) -> str:
        """Who acts, for the ledger."""
        return f"person:{local_user()}"

    def send(self, batch: wire.Batch) -> wire.Outcome:
        """Store a batch."""
        from keepwell.flows.record import record

        kit = self.kit
        try:
            return record(kit, kit.call(self.actor), batch)
        except Unavailable as error:
            raise Away(error.message) from error

    def upload(self, owner: str, path: str, file: Path) -> None:
        """Store a file as an artifact of a run or a logged model."""
        from keepwell.flows.record import keep

        kit = self.kit
        try:
            keep(kit, kit.call(self.actor), owner, path, kit.blobs.put_file(file), file.stat().st_size)
        except Unavailable as error:
            raise Away(error.message) from error

    def close(self) -> None:
        """Close the database."""
        if self._kit is not None:
            self._kit.db.engine.dispose()
            self._kit = None
