"""What a model needs to load, recorded from what is installed: quick, because nothing is imported to find out."""

from __future__ import annotations

import functools
import platform
from collections.abc import Sequence
from importlib import metadata

from keepwell.core.errors import NotInstalled

ALIASES = {"xgboost": ("xgboost", "xgboost-cpu"), "tensorflow": ("tensorflow", "tensorflow-cpu"),
           "onnxruntime": ("onnxruntime", "onnxruntime-gpu")}  # fmt: skip
"""Distributions that give the same module under several names; what is recorded is the first, which others know."""


@functools.lru_cache(maxsize=256)
def version(package: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    for name in ALIASES.get(package, (package,)):
        try:
            return metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return None


def pinned(packages: Sequence[str]) -> list[str]:
    """Return `name==version` of the distributions that are installed; local parts of versions are left out."""
    found = ((package, version(package)) for package in packages)
    return [f"{package}=={known.split('+')[0]}" for package, known in found if known is not None]


def demand(needs: Sequence[tuple[str, str]], what: str) -> None:
    """Let pass when every module can be imported.

    Args:
        needs: modules, each with what installs it.
        what: what needs them, for the sentence.

    Raises:
        NotInstalled: one is missing.
    """
    from importlib.util import find_spec

    for module, install in needs:
        if find_spec(module) is None:
            raise NotInstalled(f"{what} needs {module}, which is not installed: pip install '{install}'.")


@functools.lru_cache(maxsize=256)
def texts(packages: tuple[str, ...]) -> dict[str, str]:
    """Return the texts of requirements.txt, conda.yaml and python_env.yaml that pin distributions."""
    lines = pinned(packages)
    python = platform.python_version()
    listed = "\n".join(lines)
    pip = "\n".join(f"    - {line}" for line in lines)
    return {
        "requirements.txt": listed,
        "conda.yaml": (
            f"channels:\n- conda-forge\ndependencies:\n- python={python}\n- pip\n- pip:\n{pip}\nname: model-env\n"
        ),
        "python_env.yaml": f"python: {python}\nbuild_dependencies:\n- pip\ndependencies:\n- -r requirements.txt\n",
    }
