"""How `keepwell model` and `keepwell fleet` write versions, traces and promotions on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from keepwell.cli.shared import print_json

if TYPE_CHECKING:
    from keepwell.flows.promote import Promotion
    from keepwell.flows.trace import Trace
    from keepwell.models.model import Champion, ModelVersion


def show_promotion(done: Promotion, as_json: bool, most: int = 20) -> None:
    """Print what was promoted and what was held."""
    if as_json:
        print_json(done)
        return
    for champion in done.promoted[:most]:
        click.echo(f"{champion.segment}: v{champion.number} is champion in {done.environment}")
    if len(done.promoted) > most:
        click.echo(f"... and {len(done.promoted) - most} more.")
    for held in done.held[:most]:
        clause = f"{held.clause}: " if held.clause else ""
        click.echo(f"{held.segment}: held. {clause}{held.reason}")
    if len(done.held) > most:
        click.echo(f"... and {len(done.held) - most} more held.")


def show_version(version: ModelVersion) -> None:
    """Print what a version is."""
    click.echo(f"{version.model} {version.segment} v{version.number}: {version.state}")
    for label, value in (
        ("id", version.id),
        ("why", version.reason),
        (
            ("trained", f"{version.trained_at:%Y-%m-%d %H:%M} UTC, on data until {version.trained_until}")
            if version.trained_until
            else ("made", f"{version.created_at:%Y-%m-%d %H:%M} UTC")
        ),
        ("data", version.dataset_version),
        ("run", version.run_id),
        ("code", version.code),
        ("by", version.created_by),
        (
            ("bytes", f"{version.length} ({version.artifact})")
            if version.trained_until
            else ("files", f"{version.artifact}; `keepwell model files` lists them")
        ),
    ):
        click.echo(f"  {label:<8} {'-' if value is None else value}")


def show_trace(found: Trace) -> None:
    """Print where a version comes from."""
    show_version(found.version)
    if found.dataset is not None:
        click.echo(f"  learned from {found.dataset.dataset}@{found.dataset.number}: {len(found.sources)} files")
        for source in found.sources[:20]:
            click.echo(f"    {source.uri}  {source.sha256}")
    if found.charter is not None:
        click.echo(f"  judged by charter {found.charter.number} ({found.charter.digest})")
    for gate in found.verdicts[0].gates if found.verdicts else ():
        click.echo(f"    {gate.outcome:<10} {gate.clause}: {gate.reason}")
    for approval in found.approvals:
        click.echo(f"  approval by {approval.role} for {approval.environment}: {approval.state}")
    for held in found.champion:
        click.echo(f"  {interval(held)}")
    click.echo(f"  told of in entries {', '.join(str(e.seq) for e in found.entries)} of the ledger")
    for sentence in found.missing:
        click.echo(f"  missing: {sentence}")


def interval(held: Champion) -> str:
    """Return from when until when a version was champion."""
    until = f"until {held.until:%Y-%m-%d %H:%M}" if held.until else "now"
    return f"champion in {held.environment} from {held.since:%Y-%m-%d %H:%M} {until} ({held.cause})"
