"""`keepwell demo` on an empty home: six weeks of real data through the whole loop."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from keepwell.testing.postgres import Server


def keepwell(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KEEPWELL")}
    url = home.parent / "url"
    if url.exists():
        environment["KEEPWELL_DATABASE"] = url.read_text()
    return subprocess.run(
        [sys.executable, "-m", "keepwell", *arguments, "--home", str(home)], capture_output=True, text=True,
        check=False, env=environment, timeout=240,
    )  # fmt: skip


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def lived(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, subprocess.CompletedProcess[str]]]:
    home = tmp_path_factory.mktemp("demo") / "home"
    if request.param == "sqlite":
        yield home, keepwell(home, "demo", "--no-serve", "--weeks", "6")
        return
    server: Server = request.getfixturevalue("postgres")
    server.make("demo")
    (home.parent / "url").write_text(server.url("demo"))
    yield home, keepwell(home, "demo", "--no-serve", "--weeks", "6")
    server.drop("demo")


def test_it_tells_what_happened(lived: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = lived
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    for words in ("What happened in 6 weeks", "scored 6 times; WMAPE", "versions trained for 8 models",
                  "retraining:", "promotion:", "hold:"):  # fmt: skip
        assert words in done.stdout, done.stdout


@pytest.mark.parametrize("arguments", [("fsck",), ("audit", "verify")])
def test_its_house_is_in_order(lived: tuple[Path, subprocess.CompletedProcess[str]], arguments: Sequence[str]) -> None:
    done = keepwell(lived[0], *arguments)
    assert done.returncode == 0, (done.stdout, done.stderr)


def test_a_second_run_does_not_live_it_again(lived: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    again = keepwell(lived[0], "demo", "--no-serve", "--weeks", "6")
    assert again.returncode == 0, again.stderr
    assert "was run here already" in again.stdout
    assert "What happened" not in again.stdout
