"""`keepwell up`: server, loop and workers in one process tree, on one machine, with no other service."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Literal

import click

from keepwell.cli.shared import home_option, me, open_kit

if TYPE_CHECKING:
    from keepwell.loop.tick import Ticked
    from keepwell.server.run import Served

PATIENCE = 5.0
"""Seconds that a running tick has to end; one that is cut off is gone on with by the next, as after a crash."""


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=8400, show_default=True, type=click.IntRange(0, 65_535), help="Port; 0 takes a free one."
)
@click.option("--auth", type=click.Choice(["token", "none"]), default="token", show_default=True,
              help="'none': nobody has to sign in; on this machine only.")  # fmt: skip
@click.option("--insecure", is_flag=True, help="Listen off this machine without TLS; the ledger records it.")
@click.option("--every", default=60.0, show_default=True, type=click.FloatRange(1, 86_400), metavar="SECONDS",
              help="How often the loop looks at every fleet.")  # fmt: skip
@home_option
def command(
    host: str, port: int, auth: Literal["token", "none"], insecure: bool, every: float, home: str | None
) -> None:
    """Serve pages and API and run the loop, until it is stopped (Ctrl-C or SIGTERM)."""
    from keepwell.cli.server import announce
    from keepwell.loop.tick import tick
    from keepwell.server.run import Binding, Parts, check_binding, serve
    from keepwell.worker import Worker

    binding = Binding(host, port, auth, insecure)
    check_binding(binding)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    kit = open_kit(home)
    worker = Worker(kit, every, said=_say)
    thread = threading.Thread(target=worker.run, name="loop", daemon=True)

    def on_demand(model: str, actor: str) -> object:
        done = tick(kit, model)
        return {"model": model, "rounds": [r.id for r in done.rounds], "settled": done.settled, "asked_by": actor}

    def begin(served: Served) -> None:
        announce(served)
        thread.start()

    def end() -> None:
        worker.stop()
        thread.join(timeout=PATIENCE)

    parts = Parts(tick=on_demand, heartbeat=lambda: worker.heartbeat)
    serve(kit, binding, owner=me(), parts=parts, on_start=begin, on_stop=end)


def _say(ticked: Ticked) -> None:
    """Print what a tick did, unless it only held."""
    from keepwell.loop.decisions import Hold, kind_of

    done = [kind_of(d) for d in ticked.decisions if not isinstance(d, Hold)]
    if done:
        click.echo(f"{ticked.model}: {', '.join(done)}")
