"""A model in a process of its own: no environment, no network, its own folder, limits, and a clock outside of it.

Whatever the model does there, dies there: a crash, a hang, too much memory is one sentence here. The process is ended
with all that it started.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import shutil
import signal
import struct
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from keepwell.core import errors
from keepwell.core.errors import Damaged, InvalidInput, KeepwellError, Unavailable
from keepwell.models.flavors import wire
from keepwell.models.flavors.model import Policy, Start

_BOOT = "import sys; sys.path[:] = sys.argv[2].split(chr(10)); from keepwell.models.flavors.worker import main; main()"
_CHUNK = 1 << 20
_TOLD = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, KeepwellError)
}


class Worker:
    """One model, loaded in a process of its own. Threads may share it: they are answered one after the other.

    Attributes:
        confined: what the system let the process give up: `limits`, `network`, `files`, `signals`.
    """

    def __init__(self, folder: Path, flavor: str, policy: Policy) -> None:
        self._limits = policy.limits
        self._lock = threading.Lock()
        self._own = Path(tempfile.mkdtemp(prefix="keepwell-model-"))
        self._printed: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115  (closed in `close`)
        self._answers, answers = os.pipe()
        try:
            self._process = self._started(answers)
        except OSError as error:
            self._forget()
            raise Unavailable(f"A process for the model cannot be started: {error.strerror}.") from error
        finally:
            os.close(answers)
        os.set_blocking(self._answers, False)
        assert self._process.stdin is not None  # noqa: S101  (opened as a pipe)
        self._tasks = self._process.stdin.fileno()
        os.set_blocking(self._tasks, False)
        try:
            told = self._ask(msgspec.msgpack.encode(_start(folder, flavor, policy, self._own)), self._limits.start)
            self.confined = tuple(str(name) for name in told["confined"])
            _refuse(told)
        except BaseException:
            self.close()
            raise

    def predict(self, data: Any, params: Mapping[str, Any]) -> Any:
        """Return the model's answer.

        Raises:
            InvalidInput: the data cannot be handed over, or the model refuses it.
            Unavailable: the process died or took too long; it is gone.
        """
        message = wire.encode({"data": data, "params": dict(params)})
        if len(message) > wire.MAX_MESSAGE:
            raise InvalidInput("This is too much for one prediction: ask in parts.", where="input")
        with self._lock:
            told = self._ask(message, self._limits.seconds)
        _refuse(told)
        return told["answer"]

    def close(self) -> None:
        """End the process and what it started, and remove its folder."""
        self._end()
        self._forget()

    def _started(self, answers: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(  # noqa: S603  (this Python, our own module)
            [sys.executable, "-I", "-c", _BOOT, str(answers), "\n".join(_modules())],
            stdin=subprocess.PIPE,
            stdout=self._printed,
            stderr=self._printed,
            pass_fds=(answers,),
            env={"HOME": os.fspath(self._own), "TMPDIR": os.fspath(self._own)},
            cwd=self._own,
            start_new_session=True,
        )

    def _ask(self, message: bytes, seconds: float) -> dict[str, Any]:
        """Send a message and return the answer; past its time the process is killed."""
        if self._process.poll() is not None:
            raise self._died()
        until = time.monotonic() + seconds
        outgoing = memoryview(struct.pack(">Q", len(message)) + message)
        incoming = bytearray()
        with selectors.DefaultSelector() as selector:
            selector.register(self._answers, selectors.EVENT_READ)
            selector.register(self._tasks, selectors.EVENT_WRITE)
            while (wanted := _size(incoming)) is None or len(incoming) < wanted:
                ready = selector.select(max(0.0, until - time.monotonic()))
                if not ready:
                    self._end()
                    raise Unavailable(f"The model took longer than {seconds:g} s; its process was ended.")
                for key, _ in ready:
                    if key.fd == self._tasks:
                        outgoing = self._write(outgoing)
                        if not outgoing:
                            selector.unregister(self._tasks)
                    elif not self._take(incoming):
                        raise self._died()
        told = wire.decode(bytes(incoming[8:]))
        if not isinstance(told, dict) or not {"confined", "answer", "error"} & set(told):
            raise Damaged("A model's process answered with something that is no message.")
        return told

    def _write(self, outgoing: memoryview) -> memoryview:
        try:
            return outgoing[os.write(self._tasks, outgoing[:_CHUNK]) :]
        except BlockingIOError:
            return outgoing
        except OSError:
            return outgoing[len(outgoing) :]  # it died; reading says how

    def _take(self, incoming: bytearray) -> bool:
        try:
            chunk = os.read(self._answers, _CHUNK)
        except BlockingIOError:
            return True
        incoming += chunk
        return bool(chunk)

    def _died(self) -> Unavailable:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(2.0)
        status = self._process.poll()
        self._end()
        return Unavailable(f"The model's process ended: {_how(status)}. Load the model again.")

    def _end(self) -> None:
        with contextlib.suppress(OSError):
            os.killpg(self._process.pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            if self._process.stdin is not None:
                self._process.stdin.close()
        self._process.wait()

    def _forget(self) -> None:
        self._printed.close()
        if self._answers >= 0:
            os.close(self._answers)
            self._answers = -1
        shutil.rmtree(self._own, ignore_errors=True)


def _start(folder: Path, flavor: str, policy: Policy, own: Path) -> Start:
    modules = _modules()
    chosen = modules if policy.code else [place for place in modules if _is_library(place)]
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, os.fspath(Path(sys.executable).resolve().parent.parent)]
    return Start(
        path=modules,
        readable=[*chosen, *python, os.fspath(folder.resolve())],
        own=os.fspath(own),
        folder=os.fspath(folder.resolve()),
        flavor=flavor,
        pickle=policy.pickle,
        code=list(policy.code),
        limits=policy.limits,
    )


def _modules() -> list[str]:
    """Return where modules are looked for, as whole paths."""
    return [os.fspath(Path(place).absolute()) for place in sys.path if "\n" not in place]


def _is_library(place: str) -> bool:
    """Tell whether a place holds installed libraries, Keepwell among them, and not somebody's project."""
    known = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    installed = Path(place).name in ("site-packages", "dist-packages")
    return installed or place in known or place.endswith(".zip") or (Path(place) / "keepwell").is_dir()


def _size(incoming: bytearray) -> int | None:
    if len(incoming) < 8:
        return None
    size = int(struct.unpack_from(">Q", incoming)[0])
    if size > wire.MAX_MESSAGE:
        raise Damaged("A model's process answered with more than is read.")
    return size + 8


def _refuse(told: Mapping[str, Any]) -> None:
    """Raise what the process told of."""
    error = told.get("error")
    if not error:
        return
    name, message, where = (str(part)[:2000] for part in error)
    if name in _TOLD:
        raise _TOLD[name](message, where=where or None)
    raise InvalidInput(f"The model failed: {message}", code="model_failed")


def _how(status: int | None) -> str:
    if status is None:
        return "it gave no reason"
    if status >= 0:
        return f"it left by itself with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    hints = {
        "SIGKILL": "perhaps for want of memory",
        "SIGXCPU": "it used up its processor time",
        "SIGSEGV": "it crashed",
    }
    return f"{name}, {hints[name]}" if name in hints else name
