"""Where `keepwell runs` looks: the server that KEEPWELL_TRACKING_URI names, as the SDK does, or a home folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import click

from keepwell.core.errors import InvalidInput

if TYPE_CHECKING:
    from keepwell.client.transports.reading import Library
    from keepwell.client.transports.web import Web
    from keepwell.flows.kit import Kit
    from keepwell.tracking.model import Run, View


@dataclass(frozen=True, slots=True)
class Asked:
    """Which runs are to be listed; see the options of `keepwell runs list`."""

    text: str
    order: tuple[str, ...]
    experiments: tuple[str, ...]
    deleted: bool
    model: str | None
    kind: str | None
    status: str | None
    parent: str | None
    before: str | None
    limit: int

    @property
    def searching(self) -> bool:
        """Whether a search is asked for, and no listing."""
        return bool(self.text or self.order or self.experiments or self.deleted)

    @property
    def view(self) -> View:
        """Which runs a search looks among."""
        return "deleted" if self.deleted else "active"

    @property
    def filter(self) -> str:
        """The filter, with the status in it."""
        status = f"attributes.status = '{self.status}'" if self.status else ""
        return " and ".join(part for part in (self.text, status) if part)


class Source(Protocol):
    """Where runs are."""

    def runs(self, asked: Asked) -> list[Run]:
        """Return the runs that are asked for, in order."""

    def library(self) -> Library:
        """Return what answers questions about one run."""

    def delete(self, run_ids: Sequence[str]) -> None:
        """Delete runs."""

    def restore(self, run_ids: Sequence[str]) -> None:
        """Restore deleted runs."""


def source_of(home: str | None) -> Source:
    """Return where runs are looked up: in `--home` when it is given, else where the SDK logs them."""
    from keepwell.cli.shared import open_kit
    from keepwell.client.transports.web import Web
    from keepwell.settings import read_client_settings

    settings = read_client_settings(home, home)
    if not settings.remote:
        return AtHome(open_kit(settings.uri))
    web = Web(settings.uri, settings.token)
    click.get_current_context().call_on_close(web.close)
    return AtServer(web)


class AtHome:
    """The runs of a home folder."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit

    def runs(self, asked: Asked) -> list[Run]:
        """Return the runs that are asked for, in order."""
        from keepwell.flows.record import experiment_ids
        from keepwell.tracking import service

        with self._kit.read() as tx:
            if asked.searching:
                places = experiment_ids(tx, list(asked.experiments) or None)
                return service.search_runs(tx, places, asked.filter, asked.view, asked.order, limit=asked.limit)
            return service.runs(
                tx, model=asked.model, kind=asked.kind, status=asked.status, parent=asked.parent,
                before=asked.before, limit=asked.limit,
            )  # fmt: skip

    def library(self) -> Library:
        """Return what answers questions about one run."""
        from keepwell.client.transports.home import Home
        from keepwell.client.transports.reading import HomeLibrary

        return HomeLibrary(Home(str(self._kit.home), self._kit))

    def delete(self, run_ids: Sequence[str]) -> None:
        """Delete runs, all or none."""
        from keepwell.cli.shared import me
        from keepwell.tracking import service

        with self._kit.write() as tx:
            for one in run_ids:
                service.delete_run(tx, self._kit.call(me()), one)

    def restore(self, run_ids: Sequence[str]) -> None:
        """Restore deleted runs, all or none."""
        from keepwell.cli.shared import me
        from keepwell.tracking import service

        with self._kit.write() as tx:
            for one in run_ids:
                service.restore_run(tx, self._kit.call(me()), one)


class AtServer:
    """The runs of a server."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def runs(self, asked: Asked) -> list[Run]:
        """Return the runs that are asked for, in order."""
        if asked.searching or asked.limit > 1000:
            return self.library().search(
                list(asked.experiments) or None, asked.filter, asked.view, list(asked.order), asked.limit, 0
            )
        if asked.before:
            raise InvalidInput("A server's runs are not paged by --before: give a --filter, or a greater --limit.")
        from keepwell.client.transports.reading import listed

        return listed(
            self._web, model=asked.model, kind=asked.kind, status=asked.status, parent=asked.parent, limit=asked.limit
        )

    def library(self) -> Library:
        """Return what answers questions about one run."""
        from keepwell.client.transports.reading import WebLibrary

        return WebLibrary(self._web)

    def delete(self, run_ids: Sequence[str]) -> None:
        """Delete runs, one by one."""
        from keepwell.client.transports.web import owner_at

        for one in run_ids:
            self._web.raw("DELETE", owner_at(one))

    def restore(self, run_ids: Sequence[str]) -> None:
        """Restore deleted runs, one by one."""
        from keepwell.client.transports.web import owner_at

        for one in run_ids:
            self._web.raw("POST", f"{owner_at(one)}/restore")
