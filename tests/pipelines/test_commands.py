"""Commands: no shell, a small environment, a folder of their own, values that stay values."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from keepwell.core.errors import InvalidInput
from keepwell.pipelines import commands
from keepwell.pipelines.execute import execute
from keepwell.pipelines.tasks import HEAD, TAIL, Outcome, Program, Task, last_lines, shorten
from keepwell.pipelines.values import Payload

SHOW = """
import json, os, sys
json.dump({"argv": sys.argv[1:], "env": dict(os.environ), "cwd": os.getcwd(), "files": sorted(
    os.path.relpath(os.path.join(d, f)) for d, _, fs in os.walk(".") for f in fs), "stdin": sys.stdin.read(),
    "params": json.load(open("params.json")) if os.path.exists("params.json") else None}, open("out.json", "w"))
"""


def run(
    tmp_path: Path, *argv: str, script: str = SHOW, constants: dict[str, Any] | None = None, **changes: Any
) -> Outcome:
    (tmp_path / "show.py").write_text(script)
    given = {
        "argv": ("python", "show.py", *argv),
        "files": {"show.py": str(tmp_path / "show.py")},
        "outputs": {"out": "out.json"},
        "formats": {},
        "variables": commands.base_variables(),
        **{k: v for k, v in changes.items() if k in Program.__struct_fields__},
    }
    rest = {k: v for k, v in changes.items() if k not in Program.__struct_fields__}
    task = Task(
        id=1, step="s", folder=str(tmp_path / "work" / "1"), program=Program(**given), constants=constants or {},
        outputs=("out",), **rest,
    )  # fmt: skip
    return execute(task, None)


def seen(outcome: Outcome) -> dict[str, Any]:
    assert outcome.error is None, outcome
    return json.loads(outcome.outputs["out"].read())


def test_it_sees_its_folder_and_little_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "canary-1234")
    inputs = {"rows": Payload(format="csv", data=b"a\n1\n")}
    found = seen(run(tmp_path, "{inputs.rows}", constants={"alpha": 0.5}, inputs=inputs))
    folder = str(tmp_path / "work" / "1")
    assert found["cwd"] == folder and found["stdin"] == ""
    assert set(found["env"]) - {"LC_CTYPE", "__CF_USER_TEXT_ENCODING"} == {
        "PATH", "LANG", "LC_ALL", "TZ", "HOME", "TMPDIR", "PYTHONUNBUFFERED"
    }  # fmt: skip
    assert found["env"]["HOME"] == folder and found["env"]["TMPDIR"] == folder + "/tmp"
    assert "canary-1234" not in json.dumps(found)
    assert found["argv"] == ["inputs/rows.csv"]
    assert {"inputs/rows.csv", "params.json", "show.py"} <= set(found["files"])
    assert found["params"] == {"alpha": 0.5}
    assert Path(folder).stat().st_mode & 0o077 == 0


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=40))
def test_a_value_stays_one_argument(text: str) -> None:
    program = Program(argv=("x", "--v={params.v}", "--", "{params.v}"), files={}, outputs={}, formats={}, variables={})
    assert commands._fill(program, {}, {"v": text}) == [f"--v={text}", "--", text]


def test_nothing_is_expanded_by_a_shell(tmp_path: Path) -> None:
    evil = "$(touch marker); `id` && x > y | z\n*"
    found = seen(run(tmp_path, "--name={params.v}", "{params.v}", constants={"v": evil}))
    assert found["argv"] == [f"--name={evil}", evil]
    assert not (tmp_path / "work/1/marker").exists()


def test_a_value_cannot_become_an_option(tmp_path: Path) -> None:
    outcome = run(tmp_path, "{params.v}", constants={"v": "--config=/etc/passwd"})
    assert "would be read as an option" in str(outcome.error)
    assert seen(run(tmp_path / "a", "--", "{params.v}", constants={"v": "--x"}))["argv"] == ["--", "--x"]
    assert seen(run(tmp_path / "b", "{params.v}", constants={"v": -3.5}))["argv"] == ["-3.5"]
    assert seen(run(tmp_path / "c", "{params.v}", constants={"v": True}))["argv"] == ["true"]


@pytest.fixture(autouse=True)
def folders(tmp_path: Path) -> None:
    for name in "abc":
        (tmp_path / name).mkdir()


@pytest.mark.parametrize("value", [None, [1], {"a": 1}, "a\0b"])
def test_values_that_cannot_be_arguments(value: object, tmp_path: Path) -> None:
    assert run(tmp_path, "{params.v}", constants={"v": value}).error is not None


def test_variables_are_set(tmp_path: Path) -> None:
    found = seen(run(tmp_path, variables={**commands.base_variables(), "OMP_NUM_THREADS": "1"}))
    assert found["env"]["OMP_NUM_THREADS"] == "1"


@pytest.mark.parametrize(
    "script",
    [
        "import os; os.symlink('/etc/hostname', 'out.json')",
        "import os; os.symlink('/etc', 'd')",
        "import os; os.mkdir('out.json')",
        "import os; os.mkfifo('out.json')",
        "pass",
    ],
)
def test_outputs_are_regular_files_of_the_folder(script: str, tmp_path: Path) -> None:
    outputs = {"out": "d/hostname"} if "'d'" in script else {"out": "out.json"}
    if "'d'" in script:
        script = "import os; os.path.isdir('d') and os.rmdir('d'); " + script[len("import os; ") :]
    outcome = run(tmp_path, script=script, outputs=outputs)
    assert "regular file" in str(outcome.error) and not outcome.outputs


def test_formats_come_from_endings(tmp_path: Path) -> None:
    for name, form in (("o.csv", "csv"), ("o.PARQUET", "parquet"), ("o.bin", "bytes"), ("o.txt", "text")):
        folder = tmp_path / name
        folder.mkdir()
        outcome = run(folder, script=f"open({name!r}, 'w').write('x')", outputs={"out": name})
        assert outcome.outputs["out"].format == form


def test_a_program_of_the_folder(tmp_path: Path) -> None:
    tool = tmp_path / "tool.sh"
    tool.write_text('#!/bin/sh\nprintf "%s" "$1" > out.json\n')
    tool.chmod(0o755)
    outcome = run(tmp_path, argv=("./tool.sh", "[1]"), files={"tool.sh": str(tool)})
    assert outcome.outputs["out"].read() == b"[1]"
    assert "no program" in str(run(tmp_path / "a", argv=("./gone.sh",)).error)
    (tmp_path / "tool.sh").write_bytes(b"\x7fELF nonsense")
    assert "cannot be started" in str(run(tmp_path / "b", argv=("./tool.sh",), files={"tool.sh": str(tool)}).error)


def test_how_it_ended_is_said(tmp_path: Path) -> None:
    assert "was killed by SIGSEGV" in str(run(tmp_path, script="import os; os.kill(os.getpid(), 11)").error)
    evil = "print('fine'); print('\\x1b[2Jevil\\x07'); raise SystemExit(7)"
    outcome = run(tmp_path / "a", script=evil)
    assert outcome.error == "The program 'python' ended with status 7: fine | ?[2Jevil?"


def test_a_long_log_is_shortened(tmp_path: Path) -> None:
    script = (
        "import sys\nfor i in range(60): sys.stdout.write(chr(65 + i % 26) * 50_000)\nopen('out.json', 'w').close()"
    )
    outcome = run(tmp_path, script=script)
    assert outcome.error is None
    assert len(outcome.log) < HEAD + TAIL + 100 and b"bytes left out" in outcome.log
    assert outcome.log.startswith(b"A" * 1000) and outcome.log.endswith(b"H" * 1000)


def test_a_daemon_does_not_hold_the_step(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('out.json', 'w').write('1')"
    )
    started = time.monotonic()
    assert run(tmp_path, script=script).error is None
    assert time.monotonic() - started < 20


def test_what_it_started_ends_with_it(tmp_path: Path) -> None:
    script = (
        "import subprocess, sys\np = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('out.json', 'w').write(str(p.pid))"
    )
    child = int(run(tmp_path, script=script).outputs["out"].read())
    until = time.monotonic() + 10
    while time.monotonic() < until and _runs(child):
        time.sleep(0.02)
    assert not _runs(child)


def test_the_path_does_not_come_from_outside(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "python").write_text("#!/bin/sh\nexit 9\n")
    (tmp_path / "python").chmod(0o755)
    assert commands.find_program("python", commands.search_path(), tmp_path) == str(
        Path(sys.executable).parent / "python"
    )


def test_logs_in_one_line() -> None:
    assert last_lines(b"") == ""
    assert last_lines(b"a\n\n b \n") == "a | b"
    assert last_lines(b"\n".join(b"%d" % i for i in range(9))) == "4 | 5 | 6 | 7 | 8"
    assert len(last_lines(b"x" * 9_000)) == 500
    assert shorten(b"x" * 10) == b"x" * 10


def test_inputs_that_cannot_be_files(tmp_path: Path) -> None:
    inputs = {"rows": Payload(format="msgpack", data=b"\x01")}
    outcome = run(tmp_path, "{inputs.rows}", inputs=inputs, formats={"rows": "csv"})
    assert "'rows' cannot be written as a file" in str(outcome.error)


def test_an_error_of_ours_is_raised_inside(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput):
        commands.run(
            Task(
                id=1, step="s", folder=str(tmp_path / "w"),
                program=Program(argv=("no-such-program",), files={}, outputs={}, formats={}, variables={}),
            )
        )  # fmt: skip


def _runs(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"
