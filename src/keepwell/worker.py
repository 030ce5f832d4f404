"""The loop's process: tick every fleet, keep the ledger's checkpoints, sleep, stop. No decisions."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from keepwell.core.errors import KeepwellError, Unavailable
from keepwell.flows.kit import Kit
from keepwell.governance.charters import current_charters
from keepwell.ledger.checkpoints import checkpoint_if_due
from keepwell.loop.tick import Ticked, tick
from keepwell.pipelines.service import mark_interrupted

log = logging.getLogger("keepwell.worker")
HOUR = 3600.0
ACTOR = "service:worker"


@dataclass(slots=True)
class Worker:
    """Ticks every fleet of a house until it is stopped.

    Attributes:
        kit: the opened house.
        every: seconds between two rounds of ticks.
        heartbeat: when the last round ended; None before the first.
        said: called with what each tick did.
    """

    kit: Kit
    every: float = 60.0
    heartbeat: datetime | None = None
    said: Callable[[Ticked], None] = lambda _: None
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Tick, sleep, and again, until `stop`."""
        while not self._stop.is_set():
            try:
                self.round()
            except Exception:  # whatever happened in this round, the next one is run
                log.exception("the round failed")
            self._stop.wait(self.every)

    def stop(self) -> None:
        """End after the tick that is running."""
        self._stop.set()

    def round(self) -> None:
        """Tick every fleet once. A fleet that cannot be ticked now is logged and does not keep the others waiting."""
        with self.kit.write() as tx:
            mark_interrupted(tx, self.kit.call(ACTOR))
        with self.kit.read() as tx:
            fleets = [applied.charter.model for applied in current_charters(tx)]
        for model in fleets:
            if self._stop.is_set():
                return
            try:
                self.said(tick(self.kit, model))
            except Unavailable as error:
                log.info("%s: %s", model, error)
            except KeepwellError as error:
                log.warning("%s: %s", model, error)
            except Exception:
                log.exception("%s: the tick failed", model)
        self._keep_house()
        self.heartbeat = self.kit.clock.now()

    def _keep_house(self) -> None:
        checkpoint_if_due(self.kit.db, self.kit.home, self.kit.call(ACTOR))
        self.kit.blobs.sweep(self.kit.clock.now().timestamp() - HOUR)
