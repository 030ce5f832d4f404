"""Registered models and their versions: names, tags, aliases, stages."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from keepwell.flows import registering
from keepwell.flows import registry as governed
from keepwell.models import registry
from keepwell.models.registry_model import RegisteredVersion
from keepwell.server.protocols.mlflow import checks, paging
from keepwell.server.protocols.mlflow.calls import call
from keepwell.server.protocols.mlflow.errors import invalid, unsupported
from keepwell.server.protocols.mlflow.fields import Field, Given, need
from keepwell.server.protocols.mlflow.writing import registered_json, version_json
from keepwell.server.routing import Ask

Asked = Ask[None, Any]

MOST_MODELS, MOST_VERSIONS = 1_000, 200_000
PROMPT = "mlflow.prompt.is_prompt"


def create_model(ask: Asked, given: Given) -> object:
    """Make a registered model."""
    checks.check_model_name(given["name"])
    tags = _tags(given)
    with ask.write() as tx:
        found = registry.create_model(tx, ask.call(), given["name"], given.get("description"), tags)
    return {"registered_model": registered_json(found)}


def get_model(ask: Asked, given: Given) -> object:
    """Return a registered model."""
    with ask.read() as tx:
        found = registry.registered_model(tx, given["name"])
    return {"registered_model": registered_json(found)}


def update_model(ask: Asked, given: Given) -> object:
    """Describe a registered model."""
    with ask.write() as tx:
        found = registry.update_model(tx, ask.call(), given["name"], given.get("description", ""))
    return {"registered_model": registered_json(found)}


def rename_model(ask: Asked, given: Given) -> object:
    """Rename a registered model."""
    checks.check_model_name(given["new_name"], "new_name")
    with ask.write() as tx:
        found = governed.rename_model(tx, ask.call(), given["name"], given["new_name"])
    return {"registered_model": registered_json(found)}


def delete_model(ask: Asked, given: Given) -> None:
    """Delete a registered model, with its versions."""
    with ask.write() as tx:
        governed.delete_model(tx, ask.call(), given["name"])


def search_models(ask: Asked, given: Given) -> object:
    """Return registered models that a filter describes."""
    most, offset = given.get("max_results", 100), paging.read_token(given.get("page_token"))
    if most < 1:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {most}")
    with ask.read() as tx:
        found = registry.search_models(
            tx, _without_prompts(given.get("filter", "")), given.get("order_by", ()), most + 1, offset
        )
    return paging.page("registered_models", [registered_json(one) for one in found], most, offset)


def latest_versions(ask: Asked, given: Given) -> object:
    """Return the newest version in each stage."""
    with ask.read() as tx:
        found = registry.latest_registered(tx, given["name"], given.get("stages", ()))
    return {"model_versions": [version_json(one) for one in found]} if found else {}


def set_model_tag(ask: Asked, given: Given) -> None:
    """Set a tag of a registered model."""
    key, value = given["key"], given.get("value", "")
    checks.check_registry_tag(key, value)
    with ask.write() as tx:
        registry.set_model_tags(tx, ask.call(), given["name"], {key: value})


def delete_model_tag(ask: Asked, given: Given) -> None:
    """Delete a tag of a registered model; one that is not there is deleted already."""
    checks.check_registry_tag(given["key"], "")
    with ask.write() as tx:
        registry.delete_model_tag(tx, ask.call(), given["name"], given["key"])


def set_alias(ask: Asked, given: Given) -> None:
    """Let an alias name a version."""
    checks.check_new_alias(given["alias"])
    with ask.write() as tx:
        number = checks.read_version(given["version"])
        governed.set_alias(tx, ask.call(), given["name"], given["alias"], number)


def delete_alias(ask: Asked, given: Given) -> None:
    """Let an alias name nothing any more."""
    checks.check_alias(given["alias"])
    with ask.write() as tx:
        governed.delete_alias(tx, ask.call(), given["name"], given["alias"])


def get_by_alias(ask: Asked, given: Given) -> object:
    """Return the version that an alias names."""
    with ask.read() as tx:
        found = governed.by_alias(tx, given["name"], given["alias"])
    return {"model_version": version_json(found)}


def create_version(ask: Asked, given: Given) -> object:
    """Register a version, from files that lie with this server."""
    checks.check_model_name(given["name"])
    tags, source = _tags(given), given["source"]
    _refuse_local(source)
    with ask.write() as tx:
        version = registering.register_from(
            tx,
            ask.kit,
            ask.call(),
            given["name"],
            source,
            run_id=given.get("run_id") or None,
            logged_model=given.get("model_id") or None,
            run_link=given.get("run_link") or None,
            description=given.get("description") or None,
            tags=tags,
            empty=True,
        )
    return {"model_version": version_json(version)}


def get_version(ask: Asked, given: Given) -> object:
    """Return a version."""
    return {"model_version": version_json(_version(ask, given))}


def update_version(ask: Asked, given: Given) -> object:
    """Describe a version."""
    number = checks.read_version(given["version"])
    with ask.write() as tx:
        found = registry.update_version(tx, ask.call(), given["name"], number, given.get("description"))
    return {"model_version": version_json(found)}


def transition(ask: Asked, given: Given) -> object:
    """Set the stage of a version."""
    number = checks.read_version(given["version"])
    with ask.write() as tx:
        found = governed.transition_stage(
            tx, ask.call(), given["name"], number, given["stage"], given.get("archive_existing_versions", False)
        )
    return {"model_version": version_json(found)}


def delete_version(ask: Asked, given: Given) -> None:
    """Delete a version; its number is never given again."""
    number = checks.read_version(given["version"])
    with ask.write() as tx:
        registry.delete_version(tx, ask.call(), given["name"], number)


def download_uri(ask: Asked, given: Given) -> object:
    """Return where the files of a version lie: with this server, whatever becomes of the run that made them."""
    found = _version(ask, given)
    return {"artifact_uri": f"mlflow-artifacts:/registered-models/{quote(found.model)}/{found.number}"}


def search_versions(ask: Asked, given: Given) -> object:
    """Return versions that a filter describes."""
    most, offset = given.get("max_results", MOST_VERSIONS), paging.read_token(given.get("page_token"))
    if most < 1:
        raise invalid(f"Invalid value for max_results. It must be a positive integer, but got {most}")
    with ask.read() as tx:
        found = registry.search_versions(
            tx, _without_prompts(given.get("filter", "")), given.get("order_by", ()), most + 1, offset
        )
    return paging.page("model_versions", [version_json(one) for one in found], most, offset)


def set_version_tag(ask: Asked, given: Given) -> None:
    """Set a tag of a version."""
    number, key, value = checks.read_version(given["version"]), given["key"], given.get("value", "")
    checks.check_registry_tag(key, value)
    with ask.write() as tx:
        registry.set_version_tags(tx, ask.call(), given["name"], number, {key: value})


def delete_version_tag(ask: Asked, given: Given) -> None:
    """Delete a tag of a version; one that is not there is deleted already."""
    number = checks.read_version(given["version"])
    checks.check_registry_tag(given["key"], "")
    with ask.write() as tx:
        registry.delete_version_tag(tx, ask.call(), given["name"], number, given["key"])


def _version(ask: Asked, given: Given) -> RegisteredVersion:
    number = checks.read_version(given["version"])
    with ask.read() as tx:
        return registry.registered_version(tx, given["name"], number)


def _tags(given: Given) -> dict[str, str]:
    tags = dict(checks.read_pairs(given.get("tags", ()), "tags"))
    for key, value in tags.items():
        checks.check_registry_tag(key, value)
    if tags.get(PROMPT, "").lower() == "true":
        unsupported("Prompts")
    return tags


def _refuse_local(source: str) -> None:
    scheme = source.partition(":")[0].strip().lower() if ":" in source else ""
    if scheme in ("", "file"):
        raise invalid(
            f"Invalid model version source: '{source[:300]}'. To use a local path as a model version source, the "
            "run_id request parameter has to be specified and the local path has to be contained within the artifact "
            "directory of the run specified by the run_id."
        )


def _without_prompts(text: str) -> str:
    """Return a filter without the clause that new clients add to leave prompts out: there are none."""
    for clause in (f"tag.`{PROMPT}` != 'true'", f"tags.`{PROMPT}` != 'true'"):
        if clause in text:
            kept = text.replace(f" AND {clause}", "").replace(f"{clause} AND ", "").replace(clause, "")
            return kept.strip()
    return text


_NAME, _VERSION, _PAGES = need("name"), need("version"), (Field("order_by", "texts"), Field("page_token"))
_MODEL, _VERSIONS = "/registered-models", "/model-versions"
ROUTES = (
    *call("POST", f"{_MODEL}/create", "models.write", create_model, "Make a registered model.",
          (_NAME, Field("tags", "items"), Field("description"))),
    *call("GET", f"{_MODEL}/get", "models.read", get_model, "Return a registered model.", (_NAME,)),
    *call("PATCH", f"{_MODEL}/update", "models.write", update_model, "Describe a registered model.",
          (_NAME, Field("description"))),
    *call("POST", f"{_MODEL}/rename", "models.write", rename_model, "Rename a registered model.",
          (_NAME, need("new_name"))),
    *call("DELETE", f"{_MODEL}/delete", "models.delete", delete_model, "Delete a registered model.", (_NAME,)),
    *call("GET", f"{_MODEL}/search", "models.read", search_models, "Search registered models.",
          (Field("filter"), checks.at_most(MOST_MODELS), *_PAGES)),
    *call("GET", f"{_MODEL}/get-latest-versions", "models.read", latest_versions, "Return newest versions.",
          (_NAME, Field("stages", "texts"))),
    *call("POST", f"{_MODEL}/get-latest-versions", "models.read", latest_versions, "Return newest versions.",
          (_NAME, Field("stages", "texts"))),
    *call("POST", f"{_MODEL}/set-tag", "models.write", set_model_tag, "Set a tag of a registered model.",
          (_NAME, need("key"), Field("value"))),
    *call("DELETE", f"{_MODEL}/delete-tag", "models.write", delete_model_tag, "Delete a tag of a registered model.",
          (_NAME, need("key"))),
    *call("POST", f"{_MODEL}/alias", "models.write", set_alias, "Let an alias name a version.",
          (_NAME, need("alias"), _VERSION)),
    *call("DELETE", f"{_MODEL}/alias", "models.write", delete_alias, "Let an alias name nothing.",
          (_NAME, need("alias"))),
    *call("GET", f"{_MODEL}/alias", "models.read", get_by_alias, "Return the version that an alias names.",
          (_NAME, need("alias"))),
    *call("POST", f"{_VERSIONS}/create", "models.write", create_version, "Register a version.",
          (_NAME, need("source"), Field("run_id"), Field("tags", "items"), Field("run_link"), Field("description"),
           Field("model_id"))),
    *call("GET", f"{_VERSIONS}/get", "models.read", get_version, "Return a version.", (_NAME, _VERSION)),
    *call("PATCH", f"{_VERSIONS}/update", "models.write", update_version, "Describe a version.",
          (_NAME, _VERSION, Field("description"))),
    *call("POST", f"{_VERSIONS}/transition-stage", "models.write", transition, "Set the stage of a version.",
          (_NAME, _VERSION, need("stage"), Field("archive_existing_versions", "bool"))),
    *call("DELETE", f"{_VERSIONS}/delete", "models.delete", delete_version, "Delete a version.", (_NAME, _VERSION)),
    *call("GET", f"{_VERSIONS}/get-download-uri", "models.read", download_uri, "Return where a version's files lie.",
          (_NAME, _VERSION)),
    *call("GET", f"{_VERSIONS}/search", "models.read", search_versions, "Search versions.",
          (Field("filter"), checks.at_most(MOST_VERSIONS), *_PAGES)),
    *call("POST", f"{_VERSIONS}/set-tag", "models.write", set_version_tag, "Set a tag of a version.",
          (_NAME, _VERSION, need("key"), Field("value"))),
    *call("DELETE", f"{_VERSIONS}/delete-tag", "models.write", delete_version_tag, "Delete a tag of a version.",
          (_NAME, _VERSION, need("key"))),
)  # fmt: skip
