"""The environment a run happens in: Python, packages and machine, described once and kept as a blob."""

from __future__ import annotations

import functools
import importlib.metadata
import os
import platform
import sys

from keepwell.blobs import Blobs
from keepwell.core.digests import canonical_json


def environment_of(blobs: Blobs) -> str:
    """Store the description of this process's environment, once, and return its digest.

    The description is JSON: `python`, `implementation`, `platform`, `packages` (name to version). No variables of the
    environment and no paths: they hold secrets and names of people.
    """
    return blobs.put(describe_environment())


@functools.lru_cache(maxsize=1)
def describe_environment() -> bytes:
    """Return the description that `environment_of` stores."""
    packages = {
        str(name).lower(): found.version
        for found in importlib.metadata.distributions()
        if (name := found.metadata["Name"])
    }
    return canonical_json(
        {
            "python": platform.python_version(),
            "implementation": sys.implementation.name,
            "platform": f"{sys.platform}-{platform.machine()}",
            "packages": packages,
        }
    )


@functools.lru_cache(maxsize=1)
def machine_of() -> dict[str, object]:
    """Return where this process runs: system, processor family and number of processors."""
    return {
        "system": platform.system(),
        "release": platform.release(),
        "machine": platform.machine(),
        "processors": os.cpu_count() or 1,
        "host": platform.node(),
    }
