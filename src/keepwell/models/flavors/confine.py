"""What a model's process gives up before it reads the model: network, other files, signals, resources. Linux only.

Each measure is asked of the system and may not be offered (containers often refuse namespaces, old kernels have no
Landlock); what took hold is reported. The limits of `Limits` hold everywhere.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from keepwell.models.flavors.model import Limits

_NEWUSER, _NEWNET, _NEWIPC = 0x10000000, 0x40000000, 0x08000000
_NO_NEW_PRIVS = 38
_CREATE, _ADD, _RESTRICT = 444, 445, 446
"""Landlock's system calls, on every architecture (Linux 5.13)."""
_EXECUTE, _WRITE, _READ, _LIST = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FILE_RIGHTS = _EXECUTE | _WRITE | _READ | 1 << 14
READABLE = ("/usr", "/lib", "/lib64", "/etc/ld.so.cache", "/etc/localtime", "/proc", "/sys/devices/system", "/opt",
            "/dev/urandom", "/dev/random", "/dev/zero")  # fmt: skip


class _Rules(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = (("rights", ctypes.c_uint64), ("place", ctypes.c_int32))


def confine(limits: Limits, own: Path, readable: Sequence[str]) -> list[str]:
    """Give up what a model needs not; call it before any thread starts.

    Args:
        limits: of this process.
        own: the one folder that it may write.
        readable: folders and files that it may read beside the system's.

    Returns:
        What took hold: `limits`, `network`, `files`, `signals`.
    """
    held = ["limits"]
    if sys.platform == "linux":
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEWUSER | _NEWNET | _NEWIPC) == 0:
            held.append("network")
        held += _landlock(libc, own, readable)
        if "sockets" in held and "network" not in held:
            held.append("network")
    _limit(limits)
    return [name for name in held if name != "sockets"]


def _limit(limits: Limits) -> None:
    wanted = {
        resource.RLIMIT_AS: limits.memory,
        resource.RLIMIT_CPU: limits.cpu,
        resource.RLIMIT_FSIZE: limits.file,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NPROC: limits.processes + _threads_of_mine(),
    }
    for which, most in wanted.items():
        with contextlib.suppress(ValueError, OSError):
            hard = resource.getrlimit(which)[1]
            value = most if hard == resource.RLIM_INFINITY else min(most, hard)
            resource.setrlimit(which, (value, value))


def _threads_of_mine() -> int:
    """Return how many threads this user has: the system's limit counts them all."""
    mine, count = os.getuid(), 0
    with contextlib.suppress(OSError):
        for entry in os.scandir("/proc"):
            if entry.name.isdigit():
                with contextlib.suppress(OSError):
                    if entry.stat().st_uid == mine:
                        count += len(os.listdir(f"/proc/{entry.name}/task"))  # noqa: PTH208
    return count


def _landlock(libc: ctypes.CDLL, own: Path, readable: Sequence[str]) -> list[str]:
    version = libc.syscall(_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return []
    every = (1 << {1: 13, 2: 14, 3: 15, 4: 15}.get(version, 16)) - 1
    rules = _Rules(every, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    handle = libc.syscall(_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    if handle < 0:
        return []
    try:
        for place in (*READABLE, *readable):
            _allow(libc, handle, place, (_EXECUTE | _READ | _LIST) & every)
        _allow(libc, handle, "/dev/null", (_READ | _WRITE | 1 << 14) & every)
        _allow(libc, handle, os.fspath(own), every)
        libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.syscall(_RESTRICT, handle, 0) != 0:
            return []
    finally:
        os.close(handle)
    return ["files", *(["sockets"] if version >= 4 else []), *(["signals"] if version >= 6 else [])]


def _allow(libc: ctypes.CDLL, handle: int, place: str, rights: int) -> None:
    try:
        opened = os.open(place, getattr(os, "O_PATH", 0) | os.O_CLOEXEC)
    except OSError:
        return
    try:
        granted = rights if os.path.isdir(place) else rights & _FILE_RIGHTS  # noqa: PTH112
        rule = _Beneath(granted, opened)
        libc.syscall(_ADD, handle, 1, ctypes.byref(rule), 0)
    finally:
        os.close(opened)
