"""Pages of a house with 10,000 segments that were monitored for twelve weeks, through the whole server stack."""

from __future__ import annotations

import gc
import io
import tempfile
import time
from datetime import UTC, datetime, timedelta

import anyio
import httpx2
import numpy as np

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.flows.kit import Kit
from keepwell.monitoring import service as monitoring
from keepwell.monitoring.model import Signal, Window
from keepwell.server import api, ui
from keepwell.server.app import make_app
from keepwell.server.ui import reading
from keepwell.settings import read_settings
from keepwell.testing.fleets import generated_fleet, segments

N, WEEKS = 10_000, 12
NOW = datetime(2026, 1, 5, 6, tzinfo=UTC)
assert api


def rows() -> list[dict[str, object]]:
    with tempfile.TemporaryDirectory() as home:
        clock = SimulatedClock(NOW - timedelta(weeks=WEEKS))
        kit = open_house(read_settings(home, {}), clock=clock)
        generated_fleet(kit, N)
        _monitor(kit, clock)
        app = make_app(kit, auth="none", host="127.0.0.1", port=8400, pages=ui.ROUTES, look=ui.LOOK, log=io.StringIO())
        _time(app, "/models", forget=False)  # what is loaded on first use is loaded
        gc.collect()
        gc.freeze()  # as the server does when its routes are loaded
        return [
            _row("page of a fleet of 10,000, first look", _time(app, "/models/generated", forget=True), 0.3),
            _row(
                "page of a fleet of 10,000, again", _time(app, "/models/generated?sort=age&page=9", forget=False), 0.3
            ),
            _row(
                "page of one of its segments", _time(app, f"/models/generated/segment?key={_key()}", forget=False), 0.3
            ),
            _row("Today beside it", _time(app, "/", forget=False), 0.3),
            _row("search among its segments", _time(app, "/search?q=store%3D0004", forget=False), 0.2),
        ]


def _monitor(kit: Kit, clock: SimulatedClock) -> None:
    random = np.random.default_rng(0)
    level, volume, keys = random.gamma(12, 0.015, N), random.lognormal(6, 1.2, N), segments(N)
    values = level.tolist()
    for week in range(WEEKS):
        clock.move_to(NOW - timedelta(weeks=WEEKS - 1 - week))
        end, start = clock.now(), clock.now() - timedelta(weeks=1)
        values = (level * random.normal(1, 0.1, N)).tolist()
        windows = [
            Window(key, "baseline", start, end, 30, True, size, {"wmape": v, "rmse": v * 90}, {}, {"wmape": v * 1.4})
            for key, size, v in zip(keys, volume.tolist(), values, strict=True)
        ]
        with kit.write() as tx:
            monitoring.record_performance(tx, kit.call("loop:generated"), "generated", windows)
    signals = [
        Signal(key, kind, state, value, limit, 30, start, end, "As measured.", "monitor")  # type: ignore[arg-type]
        for key, v in zip(keys, values, strict=True)
        for kind, state, value, limit in (
            ("performance", "bad" if v > 0.3 else "ok", v, 0.3),
            ("staleness", "bad" if v > 0.28 else "ok", 70.0, 60.0),
            ("drift", "ok", 0.1, 0.25),
        )
    ]
    with kit.write() as tx:
        monitoring.record_signals(tx, kit.call("loop:generated"), "generated", signals)


def _key() -> str:
    return segments(1)[0].replace("=", "%3D").replace(",", "%2C")


def _time(app: object, path: str, *, forget: bool) -> float:
    """Return the median seconds of five requests; with `forget` none may use what another one read."""

    async def go() -> float:
        transport = httpx2.ASGITransport(app=app)  # type: ignore[arg-type]
        async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8400") as client:
            if forget:
                reading.forget()
            started = time.perf_counter()
            answer = await client.get(path, headers={"accept": "text/html"})
            assert answer.status_code in (200, 303), (path, answer.status_code)
            return time.perf_counter() - started

    return sorted(anyio.run(go) for _ in range(5))[2]


def _row(walk: str, ours: float, bar: float) -> dict[str, object]:
    return {
        "walk": walk, "limit_name": "bar of the issue", "limit": bar, "ours": ours, "unit": "s", "ratio": ours / bar,
        "bar": bar, "ok": ours <= bar,
    }  # fmt: skip
