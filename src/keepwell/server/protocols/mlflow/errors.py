"""Errors as MLflow's server says them: a code, a sentence, and the status that goes with the code."""

from __future__ import annotations

from typing import NoReturn

import msgspec

from keepwell.core.errors import KeepwellError
from keepwell.server.routing import Problem

STATUSES: dict[str, int] = {
    "BAD_REQUEST": 400,
    "INVALID_PARAMETER_VALUE": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "ENDPOINT_NOT_FOUND": 404,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "RESOURCE_CONFLICT": 409,
    "INTERNAL_ERROR": 500,
    "INVALID_STATE": 500,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
}
"""Codes that we give, and their HTTP statuses (mlflow/exceptions.py)."""

_BY_STATUS: dict[int, str] = {
    400: "INVALID_PARAMETER_VALUE",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "BAD_REQUEST",
    408: "BAD_REQUEST",
    409: "RESOURCE_CONFLICT",
    413: "INVALID_PARAMETER_VALUE",
    414: "INVALID_PARAMETER_VALUE",
    415: "INVALID_PARAMETER_VALUE",
    431: "BAD_REQUEST",
    501: "NOT_IMPLEMENTED",
    503: "TEMPORARILY_UNAVAILABLE",
}
_BY_CODE: dict[str, str] = {
    "already_exists": "RESOURCE_ALREADY_EXISTS",
    "no_alias": "INVALID_PARAMETER_VALUE",
    "exists": "RESOURCE_ALREADY_EXISTS",
    "not_active": "INVALID_PARAMETER_VALUE",
    "param_changed": "INVALID_PARAMETER_VALUE",
}
"""Codes of our own services that MLflow's server would give another status than ours."""

API_DOCS = " See the API docs for more information about request parameters."


class Refusal(KeepwellError):
    """What MLflow's server would refuse with the same code and sentence; `code` is one of `STATUSES`."""


def invalid(message: str) -> Refusal:
    """Return the error of a value that cannot be used."""
    return Refusal(message, code="INVALID_PARAMETER_VALUE")


def missing(message: str) -> Refusal:
    """Return the error of a thing that is not there."""
    return Refusal(message, code="RESOURCE_DOES_NOT_EXIST")


def exists(message: str) -> Refusal:
    """Return the error of a name that is taken."""
    return Refusal(message, code="RESOURCE_ALREADY_EXISTS")


def unsupported(what: str) -> NoReturn:
    """Say that a part of the protocol is not offered.

    Raises:
        Refusal: always.
    """
    raise Refusal(
        f"{what} are not supported by Keepwell's MLflow protocol; docs/mlflow.md lists what is.", code="NOT_IMPLEMENTED"
    )


def say(problem: Problem) -> tuple[int, bytes]:
    """Return an error as status and JSON."""
    code = _BY_CODE.get(problem.code, problem.code)
    status = STATUSES.get(code)
    if status is None:
        status = problem.status
        code = _BY_STATUS.get(status, "INTERNAL_ERROR")
    message = "Invalid path" if problem.code == "bad_path" else problem.message
    return status, msgspec.json.encode({"error_code": code, "message": message})
