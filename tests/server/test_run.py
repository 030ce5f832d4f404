"""Serving from a thread of another program: its hooks, its end, and a server whose routes cannot be loaded."""

from __future__ import annotations

import io
import queue
import threading
from typing import Any

import httpx2
import pytest

from keepwell.core.errors import InvalidInput
from keepwell.flows.kit import Kit
from keepwell.server.routing import Route
from keepwell.server.run import Binding, Parts, Served, serve

OWNER = "person:ada"


def start(kit: Kit, parts: Parts) -> tuple[threading.Thread, queue.Queue[Any], list[str]]:
    told: queue.Queue[Any] = queue.Queue()
    order: list[str] = []

    def run() -> None:
        try:
            serve(
                kit, Binding(port=0), owner=OWNER, parts=parts, on_start=told.put, on_stop=lambda: order.append("stop")
            )
        except InvalidInput as error:
            told.put(error)
        order.append("returned")

    thread = threading.Thread(target=run)
    thread.start()
    return thread, told, order


def test_it_serves_until_it_is_stopped(kit: Kit) -> None:
    beat = kit.clock.now()
    ticked: list[tuple[str, str]] = []

    def tick(model: str, actor: str) -> object:
        ticked.append((model, actor))
        return {}

    log = io.StringIO()
    thread, told, order = start(kit, Parts(tick=tick, heartbeat=lambda: beat, log=log))
    served: Served = told.get(timeout=20)
    health = httpx2.get(f"{served.address}/health").json()
    assert health["loop_age_seconds"] == 0 and health["status"] == "ok"
    served.stop()
    thread.join(20)
    assert order == ["stop", "returned"]
    assert "server.stopped" in log.getvalue()
    with pytest.raises(httpx2.ConnectError):
        httpx2.get(f"{served.address}/health")


def test_a_server_whose_routes_cannot_be_loaded_ends(kit: Kit) -> None:
    bad = Route("GET", "/bad", "everything", lambda _: None, "Show.")
    look = Parts().pages()[1]
    thread, told, order = start(kit, Parts(pages=lambda: ((bad,), look), log=io.StringIO()))
    assert isinstance(told.get(timeout=20), Served)
    error = told.get(timeout=20)
    thread.join(20)
    assert isinstance(error, InvalidInput) and "permission" in error.message
    assert order == ["stop", "returned"]
