"""One process acts for a model; one that was paused for too long can no longer write."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from datetime import timedelta

import pytest

from keepwell.core.clock import SimulatedClock
from keepwell.core.errors import Conflict, Unavailable
from keepwell.flows.kit import Kit
from keepwell.loop.lease import LASTS, holding


def test_a_second_holder_is_refused_while_the_first_works(kit: Kit) -> None:
    with holding(kit, "loop:m"):
        with pytest.raises(Unavailable, match="another process"), holding(kit, "loop:m"):
            pass
        with holding(kit, "loop:other"):
            pass


def test_a_lease_given_back_can_be_taken_at_once(kit: Kit) -> None:
    for _ in range(3):
        with holding(kit, "loop:m") as held, held.write():
            pass


def test_a_holder_that_slept_past_its_lease_cannot_write(kit: Kit, clock: SimulatedClock) -> None:
    kit = replace(kit, wall=clock)
    with holding(kit, "loop:m") as sleeper:
        clock.advance(LASTS + timedelta(seconds=1))
        with holding(kit, "loop:m") as awake:
            with awake.write():
                pass
            with pytest.raises(Conflict, match="took over"), sleeper.write():
                pass


def test_an_old_holder_does_not_give_back_what_is_not_its_own(kit: Kit, clock: SimulatedClock) -> None:
    kit = replace(kit, wall=clock)
    with holding(kit, "loop:m"):
        clock.advance(LASTS + timedelta(seconds=1))
        late = holding(kit, "loop:m")
        late.__enter__()
    with pytest.raises(Unavailable), holding(kit, "loop:m"):
        pass
    late.__exit__(None, None, None)


def test_a_simulated_clock_takes_no_lease_from_who_works(kit: Kit, clock: SimulatedClock) -> None:
    with holding(kit, "loop:m"):
        clock.advance(LASTS * 1000)
        with pytest.raises(Unavailable), holding(kit, "loop:m"):
            pass


def test_one_that_was_killed_keeps_nobody_waiting(kit: Kit) -> None:
    child = os.fork()
    if child == 0:
        with holding(kit, "loop:m"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    with holding(kit, "loop:m") as held, held.write():
        pass
    assert list((kit.home / "leases").iterdir()) == []
