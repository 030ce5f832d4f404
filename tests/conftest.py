"""Fixtures that every test may use.

A test with `kit` in a folder of `_BOTH` runs twice, on SQLite and on a PostgreSQL server of the test run's own;
one that is about a SQLite file is marked `sqlite_only`. Where no PostgreSQL is installed the second is skipped.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from keepwell.bootstrap import open_house
from keepwell.core.clock import SimulatedClock
from keepwell.core.ids import SeededIds
from keepwell.db import connect
from keepwell.db.migrate import migrate
from keepwell.flows.kit import Kit
from keepwell.settings import read_settings
from keepwell.testing.postgres import LACKING, Server, Shared, binaries, private_server

_BOTH = (
    "client", "datasets", "db", "flows", "governance", "ledger", "loop", "models", "monitoring", "pipelines",
    "protocols", "releases", "server", "serving", "tracking",
)  # fmt: skip
_MIGRATED = "migrated"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what stands on a database on both databases."""
    folder = metafunc.definition.path.relative_to(Path(__file__).parent).parts[0]
    wanted = [name for name in ("database_url", "empty_url") if name in metafunc.fixturenames]
    if not wanted or metafunc.definition.get_closest_marker("sqlite_only"):
        return
    if folder in _BOTH or metafunc.definition.get_closest_marker("both_databases"):
        for name in wanted:
            metafunc.parametrize(name, ["sqlite", "postgres"], indirect=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server, for as long as this process tests."""
    if binaries() is None:
        pytest.skip(LACKING)
    with private_server() as server:
        server.make(_MIGRATED)
        database = connect(server.url(_MIGRATED))
        migrate(database)
        database.engine.dispose()
        yield server


@pytest.fixture(scope="session")
def shared_database(postgres: Server) -> Shared:
    """A migrated PostgreSQL database for one test after another."""
    return Shared(postgres, _MIGRATED)


@pytest.fixture
def database_url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The URL of a database of this test's own; on PostgreSQL it has its tables already, and commands use it too."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path / 'home' / 'keepwell.db'}"
        return
    shared: Shared = request.getfixturevalue("shared_database")
    url = shared.fresh()
    monkeypatch.setenv("KEEPWELL_DATABASE", url)
    yield url


@pytest.fixture
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of this test's own in which nothing was made yet."""
    if getattr(request, "param", "sqlite") == "sqlite":
        yield f"sqlite:///{tmp_path / 'home' / 'keepwell.db'}"
        return
    server: Server = request.getfixturevalue("postgres")
    server.drop("empty")
    server.make("empty")
    yield server.url("empty")
    server.drop("empty")


@pytest.fixture
def clock() -> SimulatedClock:
    return SimulatedClock(datetime(2026, 1, 5, 6, tzinfo=UTC))


@pytest.fixture
def kit(tmp_path: Path, clock: SimulatedClock, database_url: str) -> Iterator[Kit]:
    """An empty house in a temp folder, on a simulated clock."""
    settings = read_settings(str(tmp_path / "home"), {"KEEPWELL_DATABASE": database_url})
    house = open_house(settings, clock=clock, ids=SeededIds(clock, 1))
    yield house
    house.db.engine.dispose()
