"""What the machine does while a run runs: processor, memory, disk, network, and NVIDIA cards where there are any.

The names are those that MLflow's clients use, so that runs of both can be put side by side.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from keepwell.client.run import ActiveRun

MEGABYTE = 1e6
_PROC = Path("/proc")


class Sampler:
    """Reads counters; the first sample has none of what is a difference."""

    def __init__(self, proc: Path = _PROC, disk: Path = Path("/")) -> None:
        self._proc = proc
        self._disk = disk
        self._cpu: tuple[int, int] | None = None
        self._network = self._network_bytes()
        self._cards = Cards()

    def sample(self) -> dict[str, float]:
        """Return what is known now, by name."""
        found: dict[str, float] = {}
        for part in (self._cpu_part, self._memory_part, self._disk_part, self._network_part, self._cards.sample):
            try:
                found.update(part())
            except (OSError, ValueError, KeyError, IndexError):
                continue
        return {f"system/{name}": value for name, value in found.items()}

    def close(self) -> None:
        """Let go of the cards."""
        self._cards.close()

    def _cpu_part(self) -> dict[str, float]:
        first = (self._proc / "stat").read_text().split("\n", 1)[0].split()[1:9]
        ticks = [int(t) for t in first]
        total, idle = sum(ticks), ticks[3] + ticks[4]
        before, self._cpu = self._cpu, (total, idle)
        if before is None or total <= before[0]:
            return {}
        busy = 1 - (idle - before[1]) / (total - before[0])
        return {"cpu_utilization_percentage": 100 * min(1.0, max(0.0, busy))}

    def _memory_part(self) -> dict[str, float]:
        lines = (line.split(":") for line in (self._proc / "meminfo").read_text().splitlines())
        sizes = {name: int(rest.split()[0]) * 1024 for name, rest in lines if rest.split()}
        used = sizes["MemTotal"] - sizes["MemAvailable"]
        own = int((self._proc / "self" / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
        return {
            "system_memory_usage_megabytes": used / MEGABYTE,
            "system_memory_usage_percentage": 100 * used / sizes["MemTotal"],
            "process_memory_usage_megabytes": own / MEGABYTE,
        }

    def _disk_part(self) -> dict[str, float]:
        disk = shutil.disk_usage(self._disk)
        return {
            "disk_usage_percentage": 100 * disk.used / disk.total,
            "disk_usage_megabytes": disk.used / MEGABYTE,
            "disk_available_megabytes": disk.free / MEGABYTE,
        }

    def _network_part(self) -> dict[str, float]:
        now = self._network_bytes()
        if now is None or self._network is None:
            return {}
        return {
            "network_receive_megabytes": (now[0] - self._network[0]) / MEGABYTE,
            "network_transmit_megabytes": (now[1] - self._network[1]) / MEGABYTE,
        }

    def _network_bytes(self) -> tuple[int, int] | None:
        try:
            lines = (self._proc / "net" / "dev").read_text().splitlines()[2:]
            rows = [line.split(":", 1) for line in lines if ":" in line]
            fields = [rest.split() for name, rest in rows if name.strip() != "lo"]
            return sum(int(f[0]) for f in fields), sum(int(f[8]) for f in fields)
        except (OSError, ValueError, IndexError):
            return None


class _Memory(ctypes.Structure):
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Utilization(ctypes.Structure):
    _fields_ = (("gpu", ctypes.c_uint), ("memory", ctypes.c_uint))


class Cards:
    """NVIDIA cards, by the driver's own library (NVML); none where it is not there."""

    def __init__(self) -> None:
        self._library: Any = None
        try:
            self._library = ctypes.CDLL("libnvidia-ml.so.1")
            if self._library.nvmlInit_v2() != 0:
                self._library = None
        except OSError:
            return

    def sample(self) -> dict[str, float]:
        """Return how busy and how full each card is."""
        found: dict[str, float] = {}
        for number, card in enumerate(self._handles()):
            busy, memory = _Utilization(), _Memory()
            if self._library.nvmlDeviceGetUtilizationRates(card, ctypes.byref(busy)) == 0:
                found[f"gpu_{number}_utilization_percentage"] = float(busy.gpu)
            if self._library.nvmlDeviceGetMemoryInfo(card, ctypes.byref(memory)) == 0 and memory.total:
                found[f"gpu_{number}_memory_usage_megabytes"] = memory.used / MEGABYTE
                found[f"gpu_{number}_memory_usage_percentage"] = 100 * memory.used / memory.total
        return found

    def close(self) -> None:
        """Let go of the library."""
        if self._library is not None:
            self._library.nvmlShutdown()
            self._library = None

    def _handles(self) -> Iterator[ctypes.c_void_p]:
        count = ctypes.c_uint()
        if self._library is None or self._library.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return
        for number in range(min(count.value, 64)):
            card = ctypes.c_void_p()
            if self._library.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(card)) == 0:
                yield card


def watch(run: ActiveRun, seconds: float) -> Callable[[], None]:
    """Record what the machine does every so many seconds, from now until the returned function is called."""
    stopped = threading.Event()
    sampler = Sampler()
    sampler.sample()

    def loop() -> None:
        while not stopped.wait(max(0.05, seconds)):
            found = sampler.sample()
            if run.status == "running" and found:
                run.log_metrics(found)

    thread = threading.Thread(target=loop, name="keepwell-system-metrics", daemon=True)
    thread.start()

    def stop() -> None:
        stopped.set()
        thread.join(1.0)
        sampler.close()

    return stop
