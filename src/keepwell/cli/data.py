"""`keepwell data`: add, list, show, diff, check, receive, arrivals, release, reject."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from keepwell.cli.shared import Verbs, home_option, json_option, me, open_kit, print_json, print_rows
from keepwell.core.errors import Conflict, InvalidInput

if TYPE_CHECKING:
    from keepwell.datasets.model import Arrival, DatasetVersion
    from keepwell.flows.kit import Kit

_SHOWN_ROWS = 20
_JSON_ROWS = 1000


@click.group(cls=Verbs)
def command() -> None:
    """Dataset versions, arrivals and their contracts."""


@command.command()
@click.argument("dataset")
@click.argument("patterns", nargs=-1, required=True, metavar="FILE|FOLDER|GLOB...")
@click.option(
    "--format", "form", type=click.Choice(["csv", "parquet", "jsonl", "excel"]), help="By default from endings."
)
@click.option("--no-profile", is_flag=True, help="Do not read the files as tables: digests only, any bytes.")
@home_option
@json_option
def add(
    dataset: str, patterns: tuple[str, ...], form: str | None, no_profile: bool, home: str | None, as_json: bool
) -> None:
    """Add a version of DATASET that refers to files where they lie."""
    from keepwell.flows.publish import refer

    kit = open_kit(home)
    made = refer(kit, kit.call(me()), dataset, patterns, Path.cwd(), form=form, profiled=not no_profile)
    if as_json:
        print_json(made)
        return
    rows = "" if made.rows is None else f", {made.rows:,} rows"
    click.echo(f"{made.dataset}@{made.number} is {made.id}: {made.parts:,} files{rows}, {made.digest[:19]}.")


@command.command(name="list")
@click.argument("dataset", required=False)
@home_option
@json_option
def list_(dataset: str | None, home: str | None, as_json: bool) -> None:
    """List the datasets, or the versions of DATASET."""
    from keepwell.datasets import service
    from keepwell.db import read

    kit = open_kit(home)
    with read(kit.db) as tx:
        if dataset is not None:
            found: list[Any] = service.versions(tx, service.named_version(tx, dataset).dataset)
        else:
            found = service.datasets(tx)
    if as_json:
        print_json(found)
    elif dataset is not None:
        print_rows([_version_row(one) for one in found], ["number", "id", "rows", "parts", "made", "cause"], "")
    else:
        rows: list[dict[str, object]] = [
            {
                "dataset": one.name,
                "versions": one.versions,
                "rows": one.latest.rows if one.latest else None,
                "newest": one.latest.created_at.isoformat(timespec="seconds") if one.latest else None,
                "quarantined": one.arrivals.get("quarantined", 0),
            }
            for one in found
        ]
        columns = ["dataset", "versions", "rows", "newest", "quarantined"]
        print_rows(rows, columns, "No dataset yet. Add one with `keepwell data add NAME FILE`.")


@command.command()
@click.argument("what", metavar="VERSION|ARRIVAL")
@home_option
@json_option
def show(what: str, home: str | None, as_json: bool) -> None:
    """Show a version (DATASET, DATASET@NUMBER or its id) with its profile, or an arrival with what is wrong with it."""
    if what.startswith("arr_"):
        _show_arrival(home, what, as_json)
    else:
        _show_version(home, what, as_json)


@command.command()
@click.argument("before", metavar="VERSION")
@click.argument("after", required=False, metavar="[VERSION]")
@home_option
@json_option
def diff(before: str, after: str | None, home: str | None, as_json: bool) -> None:
    """Show what is different between two versions; with one, between it and the version before it."""
    from keepwell.datasets import service
    from keepwell.db import read

    kit = open_kit(home)
    with read(kit.db) as tx:
        first = service.named_version(tx, before)
        if after is not None:
            second = service.named_version(tx, after)
        elif first.parent is not None:
            first, second = service.version(tx, first.parent), first
        else:
            raise InvalidInput(f"{first.dataset}@{first.number} is the first version; name the other one.")
    found = service.compare(kit.blobs, first, second)
    if as_json:
        print_json({"before": first.id, "after": second.id, **_builtins(found)})
    else:
        _print_difference(first, second, found)


@command.command()
@click.argument("datasets", nargs=-1)
@home_option
@json_option
def check(datasets: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Look whether the files that the newest versions rest on are where and what they were (exit code 5 if not)."""
    from keepwell.datasets import checking, service
    from keepwell.datasets.content import manifest_of
    from keepwell.db import read

    kit = open_kit(home)
    reports, broken, total = [], 0, 0
    with read(kit.db) as tx:
        names = datasets or [one.name for one in service.datasets(tx) if one.latest]
        looked = [(service.named_version(tx, name), *service.seen(tx, name)) for name in names]
    for newest, known, arrived in looked:
        found = checking.check_sources(manifest_of(kit.blobs, newest), known=known, arrived=arrived)
        if renewed := [file for file in found.seen if known.get(file.uri) != file]:
            with kit.write() as tx:
                service.remember_seen(tx, newest.dataset, renewed)
        lost = [one for one in found.noticed if one.happened != "new"]
        broken += len(lost)
        total += found.files
        report = {"dataset": newest.dataset, "version": newest.id, "files": found.files, "whole": found.whole}
        reports.append({**report, "noticed": found.noticed})
        if not as_json:
            for one in found.noticed:
                click.echo(_plain(one.sentence))
    if as_json:
        print_json(reports)
    elif not reports:
        click.echo("No dataset yet. Add one with `keepwell data add NAME FILE`.")
    elif not broken:
        click.echo(f"{total:,} files of {len(reports)} datasets are where and what they were.")
    if broken:
        raise Conflict(f"{broken:,} of {total:,} files have moved, changed or vanished.", code="sources_changed")


@command.command()
@click.argument("model")
@click.argument("files", nargs=-1)
@home_option
@json_option
def receive(model: str, files: tuple[str, ...], home: str | None, as_json: bool) -> None:
    """Receive what waits in the source of MODEL's charter, or the FILES named."""
    from keepwell.db import read
    from keepwell.flows.receive import receive as take
    from keepwell.governance.charters import current_charter

    kit = open_kit(home)
    with read(kit.db) as tx:
        applied = current_charter(tx, model)
    got = take(kit, applied, me(), [Path(file).absolute() for file in files] or None)
    if as_json:
        print_json(got)
        return
    for arrival in got.accepted:
        click.echo(
            _plain(f"{Path(arrival.uri).name}: {arrival.rows:,} rows let in, {arrival.corrections:,} corrections.")
        )
    for arrival in got.quarantined:
        click.echo(_plain(f"{Path(arrival.uri).name}: in quarantine as {arrival.id}."))
        for finding in arrival.findings:
            click.echo(_plain(f"  {finding.check}: {finding.sentence}"))
    for sentence in got.skipped:
        click.echo(_plain(f"left waiting: {sentence}"))
    if got.version is not None:
        click.echo(f"{got.version.dataset}@{got.version.number} is {got.version.id}: {got.version.rows:,} rows.")
    elif not got.quarantined:
        click.echo("Nothing new is waiting.")


@command.command()
@click.argument("dataset", required=False)
@click.option("--state", type=click.Choice(["accepted", "quarantined", "released", "rejected"]))
@click.option("--limit", type=click.IntRange(1, 10_000), default=100, show_default=True)
@home_option
@json_option
def arrivals(dataset: str | None, state: str | None, limit: int, home: str | None, as_json: bool) -> None:
    """List files that arrived, newest first, and what became of them."""
    from keepwell.datasets import service
    from keepwell.db import read

    kit = open_kit(home)
    with read(kit.db) as tx:
        found = service.arrivals(tx, dataset, state, limit=limit)
    if as_json:
        print_json(found)
        return
    rows: list[dict[str, object]] = [
        {
            "id": one.id,
            "dataset": one.dataset,
            "file": Path(one.uri).name,
            "state": one.state,
            "rows": one.rows,
            "failed": one.failed,
            "came": one.received_at.isoformat(timespec="seconds"),
            "why": one.findings[0].sentence if one.findings else "",
        }
        for one in found
    ]
    columns = ["id", "dataset", "file", "state", "rows", "failed", "came", "why"]
    print_rows(rows, columns, "Nothing has arrived. `keepwell data receive MODEL` takes what waits in its source.")


@command.command()
@click.argument("arrival")
@click.option("--reason", required=True, help="Why; it is recorded.")
@home_option
@json_option
def release(arrival: str, reason: str, home: str | None, as_json: bool) -> None:
    """Let a quarantined ARRIVAL in after all, as a new version."""
    _settle(arrival, "release", reason, home, as_json)


@command.command()
@click.argument("arrival")
@click.option("--reason", required=True, help="Why; it is recorded.")
@home_option
@json_option
def reject(arrival: str, reason: str, home: str | None, as_json: bool) -> None:
    """Turn a quarantined ARRIVAL away; its bytes and its record are kept."""
    _settle(arrival, "reject", reason, home, as_json)


def _settle(arrival: str, verdict: str, reason: str, home: str | None, as_json: bool) -> None:
    from keepwell.core.ids import check_id
    from keepwell.flows.receive import settle

    kit = open_kit(home)
    settled = settle(kit, check_id(arrival, "arr"), me(), "release" if verdict == "release" else "reject", reason)
    if as_json:
        print_json(settled)
    else:
        made = f" in {settled.version}" if settled.version else "; its bytes are kept"
        click.echo(f"{settled.id} is {settled.state}{made}.")


def _show_version(home: str | None, what: str, as_json: bool) -> None:
    from keepwell.datasets import service
    from keepwell.datasets.content import manifest_of, profile_of
    from keepwell.db import read

    kit = open_kit(home)
    with read(kit.db) as tx:
        found = service.named_version(tx, what)
    manifest, profile = manifest_of(kit.blobs, found), profile_of(kit.blobs, found)
    if as_json:
        print_json({**_builtins(found), "profile": profile, "manifest_content": manifest})
        return
    click.echo(f"{found.dataset}@{found.number} is {found.id}, made {found.created_at.isoformat(timespec='seconds')}")
    click.echo(f"digest {found.digest}")
    rows = "rows not counted" if found.rows is None else f"{found.rows:,} rows"
    click.echo(f"{rows}, {found.parts:,} {'parts' if manifest.form else 'files'}, {found.superseded:,} rows corrected")
    columns: dict[str, Any] = profile["columns"] if profile else {}  # type: ignore[assignment]
    print_rows(
        [{"column": name, **facts} for name, facts in columns.items()],
        ["column", "type", "missing", "distinct", "min", "mean", "max"],
        "It was not read as a table.",
    )
    for step in manifest.parts[-1].steps if manifest.parts else ():
        click.echo(_plain(f"{step.what}: {step.detail}: {step.rows_in:,} rows to {step.rows_out:,}"))


def _show_arrival(home: str | None, what: str, as_json: bool) -> None:
    from keepwell.core.ids import check_id
    from keepwell.datasets import service
    from keepwell.db import read

    kit = open_kit(home)
    with read(kit.db) as tx:
        found = service.arrival(tx, check_id(what, "arr"))
    failing = _failed(kit, found)
    if as_json:
        print_json({**_builtins(found), "rows_that_failed": failing[:_JSON_ROWS]})
        return
    click.echo(_plain(f"{found.id}: {found.uri}, {found.size:,} bytes, {found.digest}"))
    rows = "could not be read" if found.rows is None else f"{found.rows:,} rows, {found.failed:,} failed"
    click.echo(f"{found.state}, came {found.received_at.isoformat(timespec='seconds')}, {rows}")
    for finding in found.findings:
        click.echo(_plain(f"{finding.check}: {finding.sentence}"))
    if failing:
        print_rows(failing[:_SHOWN_ROWS], list(failing[0]), "")
        if len(failing) > _SHOWN_ROWS:
            click.echo(f"... and {len(failing) - _SHOWN_ROWS:,} more rows")


def _failed(kit: Kit, found: Arrival) -> list[dict[str, object]]:
    from keepwell.datasets.parts import decode

    return decode(kit.blobs.path(found.failed_rows)).to_dicts() if found.failed_rows else []


def _print_difference(first: DatasetVersion, second: DatasetVersion, found: Any) -> None:
    click.echo(f"{first.dataset}@{first.number} against {second.dataset}@{second.number}")
    for change, uris in found.files.items():
        if uris:
            click.echo(_plain(f"{len(uris):,} files {change}: {', '.join(Path(uri).name for uri in uris[:5])}"))
    for column in found.columns:
        kinds = " to ".join(kind for kind in (column.before, column.after) if kind)
        click.echo(_plain(f"column {column.column} {column.change}: {kinds}"))
    if found.rows is not None:
        rows = found.rows
        click.echo(
            f"rows: {rows.added:,} added, {rows.removed:,} removed, {rows.changed:,} changed, {rows.same:,} same"
        )
    print_rows(
        [_builtins(one) for one in found.distributions if one.moved],
        ["column", "distance", "missing_before", "missing_after"],
        "No column's distribution moved.",
    )


def _version_row(one: DatasetVersion) -> dict[str, object]:
    made = one.created_at.isoformat(timespec="seconds")
    return {"number": one.number, "id": one.id, "rows": one.rows, "parts": one.parts, "made": made, "cause": one.cause}


def _builtins(value: object) -> dict[str, Any]:
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(value)
    return found


def _plain(text: str) -> str:
    """Return text without control characters, which a file's name may hold."""
    return "".join(c if c.isprintable() else "?" for c in text)
