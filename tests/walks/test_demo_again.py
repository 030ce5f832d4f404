"""The demo, stopped and started again, goes on; finished, it only shows what happened."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from keepwell.cli.demo import command


def test_the_demo_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    def demo(weeks: int) -> str:
        done = CliRunner().invoke(command, ["--no-serve", "--weeks", str(weeks), "--home", str(tmp_path / "home")])
        assert done.exit_code == 0, done.output
        return done.output

    first = demo(1)
    assert "What happened in 1 weeks" in first
    assert "no outcome has come yet" in first
    second = demo(2)
    assert "Going on after an earlier run that ended on 2011-07-04." in second
    assert "What happened in 2 weeks" in second
    assert "run here already" in demo(2)
