"""What the checks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import mlflow
from mlflow.exceptions import MlflowException

client = mlflow.MlflowClient()
seen: dict[str, Any] = {}
"""What checks leave for later ones."""


def refused(code: str, says: str, call: Callable[..., Any], *args: Any, **named: Any) -> None:
    """Expect an error with a code and some words."""
    try:
        answer = call(*args, **named)
    except MlflowException as error:
        assert error.error_code == code, (error.error_code, error.message)
        assert says in error.message, error.message
        return
    raise AssertionError(f"not refused: {answer!r}")


def names(runs: Any) -> list[str]:
    return [run.info.run_name for run in runs]
