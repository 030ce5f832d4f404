"""What MLflow's clients ask of a server beside runs and models: who it is, and what is not offered here."""

from __future__ import annotations

from typing import Any, NoReturn

from keepwell.server.protocols.mlflow.calls import FILES, PREFIXES, UNREAD, call
from keepwell.server.protocols.mlflow.errors import Refusal, unsupported
from keepwell.server.protocols.mlflow.fields import Given
from keepwell.server.routing import Ask, Method, Reply, Route

Asked = Ask[None, Any]

VERSION = "3.3.2"
"""The version of MLflow's server whose calls are offered: one without span logging, which clients then skip."""

NOT_OFFERED: dict[str, str] = {
    "traces": "Traces",
    "unified-traces": "Traces",
    "get-online-trace-details": "Traces",
    "assessments": "Assessments of traces",
    "datasets": "Evaluation datasets",
    "scorers": "Scorers",
    "webhooks": "Webhooks",
    "gateway": "Gateway endpoints",
    "gateway-proxy": "Gateway endpoints",
    "prompts": "Prompts",
    "prompt-optimization": "Prompts",
    "issues": "Issues",
    "jobs": "Jobs",
    "label-schemas": "Label schemas",
    "review-queues": "Review queues",
    "workspaces": "Workspaces",
    "mcp": "MCP servers",
    "genai": "Calls for generative models",
    "presigned": "Presigned downloads",
}
"""The first segment of a path, and what it is about."""


def server_info(_ask: Asked, _given: Given) -> object:
    """Say what this server can do, in the form that clients ask for."""
    return {
        "store_type": "SqlStore",
        "workspaces_enabled": False,
        "trace_archival_enabled": False,
        "multipart_uploads_enabled": True,
        "multipart_downloads_enabled": False,
        "presigned_upload_run_id_supported": False,
        "presigned_upload_model_id_supported": False,
        "features_enabled": {"gateway": False},
    }


def version(_ask: Asked, _given: Given) -> Reply:
    """Say which version of MLflow's server this is like."""
    return Reply(VERSION.encode(), "text/plain; charset=utf-8")


def nothing(ask: Asked) -> NoReturn:
    """Say that a call is not offered, or is none."""
    path = ask.path.get("path", "")
    first = path.partition("/")[0]
    if first in NOT_OFFERED:
        unsupported(NOT_OFFERED[first])
    if path.startswith("artifacts/presigned"):
        unsupported("Presigned addresses")
    raise Refusal("There is no such call in MLflow's protocol here.", code="ENDPOINT_NOT_FOUND")


def no_spans(_: Asked) -> NoReturn:
    """Say that spans are not logged, in the words that clients look for."""
    raise Refusal("REST OTLP span logging is not supported by Keepwell.", code="NOT_IMPLEMENTED")


def no_graphql(_: Asked) -> NoReturn:
    """Say that there is no GraphQL."""
    unsupported("GraphQL queries")


_METHODS: tuple[Method, ...] = ("GET", "POST", "PUT", "PATCH", "DELETE")


def _rest() -> tuple[Route, ...]:
    return tuple(
        Route(
            method,
            prefix + "/{path...}",
            "runs.read" if method == "GET" else "runs.write",
            nothing,
            "Say what is not offered.",
            dialect=UNREAD,
        )
        for prefix in (*PREFIXES, *FILES)
        for method in _METHODS
    )


ROUTES = (
    *call("GET", "/server-info", "runs.read", server_info, "Say what this server can do."),
    *call(
        "GET", "/version", "runs.read", version, "Say which version of MLflow's server this is like.", prefixes=("",)
    ),
    Route("POST", "/v1/traces", "runs.write", no_spans, "Say what is not offered.", dialect=UNREAD),
    Route("GET", "/graphql", "runs.read", no_graphql, "Say what is not offered.", dialect=UNREAD),
    Route("POST", "/graphql", "runs.read", no_graphql, "Say what is not offered.", dialect=UNREAD),
    *_rest(),
)
