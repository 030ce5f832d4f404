"""The published description of the API, OpenAPI 3.1, made from the routes' declarations and their types."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import msgspec

from keepwell import __version__
from keepwell.governance.identity_rules import OPEN, PERMISSIONS
from keepwell.server.routing import Ask, Download, File, Html, Route, SeeOther, Shown

REF = "#/components/schemas/{name}"


class Error(msgspec.Struct, frozen=True):
    """What went wrong: a stable code, one sentence, and a place in the input."""

    code: str
    message: str
    where: str | None


class ErrorAnswer(msgspec.Struct, frozen=True):
    """The body of every answer of 400 and more."""

    error: Error


def describe(routes: Sequence[Route]) -> Route:
    """Return the route that answers with the description of `routes` and of itself."""

    @functools.cache
    def whole() -> dict[str, object]:
        return openapi((*routes, own))

    def handler(_: Ask[None, None]) -> dict[str, object]:
        return whole()

    own = Route(
        "GET", "/api/openapi.json", "pages.read", handler, "Describe this API in OpenAPI 3.1.", answer=dict[str, Any]
    )
    return own


def openapi(routes: Sequence[Route]) -> dict[str, object]:
    """Return the OpenAPI 3.1 document of some routes."""
    routes = [route for route in routes if route.dialect is None]  # another system's protocol has its own description
    types = [ErrorAnswer, *(kind for route in routes for kind in _json_types(route))]
    found, components = msgspec.json.schema_components(types, schema_hook=_anything, ref_template=REF)
    schemas = dict(zip((repr(kind) for kind in types), found, strict=True))
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path.replace("...}", "}"), {})[route.method.lower()] = _operation(
            route, schemas, components
        )
    return {
        "openapi": "3.1.0",
        "info": {"title": "Keepwell", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "Made by 'keepwell token new'."},
                "session": {"type": "apiKey", "in": "cookie", "name": "keepwell-<port>"},
            },
        },
    }


def _anything(_kind: type) -> dict[str, Any]:
    return {"description": "Any JSON value."}


def _operation(route: Route, schemas: dict[str, Any], components: dict[str, Any]) -> dict[str, object]:
    parts = [part for part in route.path.split("/") if part]
    area = parts[1] if parts[:1] == ["api"] and len(parts) > 1 else "pages"
    operation: dict[str, object] = {
        "summary": route.summary,
        "operationId": f"{route.method.lower()}_{'_'.join(p.strip('{}.') for p in parts) or 'root'}".replace(".", "_"),
        "tags": [area.partition(".")[0]],
        "parameters": _parameters(route, schemas, components),
        "responses": _responses(route, schemas),
        "security": [] if route.permission == OPEN else [{"token": []}, {"session": []}],
    }
    if route.permission != OPEN:
        operation["description"] = f"Needs the permission `{route.permission}`: {PERMISSIONS[route.permission]}"
    if route.upload or route.raw is not None:
        media = route.raw or "application/octet-stream"
        operation["requestBody"] = {"required": True, "content": {media: {}}}
    elif route.body is not None:
        media = "application/x-www-form-urlencoded" if route.form else "application/json"
        operation["requestBody"] = {"required": True, "content": {media: {"schema": schemas[repr(route.body)]}}}
    return operation


def _parameters(route: Route, schemas: dict[str, Any], components: dict[str, Any]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in route.placeholders
    ]
    if route.query is not None:
        shape = components[schemas[repr(route.query)]["$ref"].rpartition("/")[2]]
        found += [
            {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": schema}
            for name, schema in shape["properties"].items()
        ]
    if route.method != "GET" and not route.form:
        found.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "description": "A call repeated with the same key is done once and answered the same.",
                "schema": {"type": "string", "maxLength": 200},
            }
        )
    return found


def _responses(route: Route, schemas: dict[str, Any]) -> dict[str, object]:
    good: dict[str, object] = {"description": "Done."}
    if route.answer is Html:
        good["content"] = {"text/html": {}}
    elif route.answer in (File, Download, Shown):
        good["content"] = {"application/octet-stream": {}}
    elif route.answer is not None and route.answer is not SeeOther:
        good["content"] = {"application/json": {"schema": schemas[repr(route.answer)]}}
    status = "303" if route.answer is SeeOther else str(route.status)
    problem = {"application/json": {"schema": schemas[repr(ErrorAnswer)]}}
    return {status: good, "default": {"description": "Refused; nothing was changed.", "content": problem}}


def _json_types(route: Route) -> list[Any]:
    kinds = [route.query, route.body, None if route.answer in (Html, File, Download, Shown, SeeOther) else route.answer]
    return [kind for kind in kinds if kind is not None]
