"""The registry: a model's versions, tags, aliases and stages, and who was what when; forms for who may change them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
import yaml

from keepwell.blobs import LocalBlobs
from keepwell.core.errors import InvalidInput, KeepwellError
from keepwell.db import Transaction
from keepwell.flows import registry as governed
from keepwell.models import registry
from keepwell.models.registry_model import RegisteredVersion
from keepwell.server.routing import Ask, Body, Html, Query, Route, SeeOther
from keepwell.server.ui import lanes, links, views_registry
from keepwell.server.ui.render import page
from keepwell.server.ui.views_table import shown_tags
from keepwell.tracking import service as tracking
from keepwell.tracking.model import Run

PATH = "/models/{model}/registry"
VERSION = "/models/{model}/versions/{number}"
A_PAGE = 50
STAGES = ("None", "Staging", "Production", "Archived")
Text = Annotated[str, msgspec.Meta(max_length=5_000)]
Label = Annotated[str, msgspec.Meta(max_length=250)]


class RegistryQuery(Query, frozen=True, kw_only=True):
    """Which versions: the page of their list, from 1."""

    page: Annotated[int, msgspec.Meta(ge=1, le=100_000)] = 1


class ModelForm(Body, frozen=True, kw_only=True):
    """What a person changes of a model."""

    do: Literal["describe", "tag", "untag", "alias", "unalias"]
    description: Text = ""
    tag: Label = ""
    value: Text = ""
    alias: Label = ""
    number: Annotated[int, msgspec.Meta(ge=0, le=2**31)] = 0


class VersionForm(Body, frozen=True, kw_only=True):
    """What a person changes of a version."""

    do: Literal["describe", "tag", "untag", "alias", "stage"]
    description: Text = ""
    tag: Label = ""
    value: Text = ""
    alias: Label = ""
    stage: Literal["None", "Staging", "Production", "Archived"] = "None"
    archive: bool = False


class Deletion(Body, frozen=True, kw_only=True):
    """A deletion, with the name of what is deleted written out."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=250)]


def model(ask: Ask[RegistryQuery, None]) -> Html:
    """Show a model in the registry."""
    return show_model(ask, ask.query.page)


def show_model(ask: Ask[Any, Any], number: int) -> Html:
    """Show a model in the registry, with one page of its versions."""
    now = ask.kit.clock.now()
    with ask.read() as tx:
        found = registry.registered_model(tx, ask.path["model"])
        versions = registry.search_versions(
            tx, f"name = '{found.name}'", ["version_number DESC"], A_PAGE + 1, (number - 1) * A_PAGE
        )
        spans = registry.timeline(tx, found.name)
        charter = governed.charter_of(tx, found.name)
        runs = _runs(tx, versions)
    stays, here = views_registry.stays_of(found.name, spans), f"{links.model(found.name)}/registry"
    return page(
        ask, "registry.html", title=found.name, nav="models", crumbs=[("Fleets and models", "/models")], model=found,
        json=f"/api/registry{links.model(found.name)}",
        versions=versions[:A_PAGE], runs=runs, spans=spans, charter=charter, tags=shown_tags(found.tags),
        answer=views_registry.answer_of(
            found, versions[0].number if versions else 0, bool(charter and charter.segments)
        ),
        timeline=lanes.draw(stays, now, label=f"Who was what when, of {found.name}"), lane_of=views_registry.lane_of,
        span_link=views_registry.version_link, path=here,
        next=links.with_query(here, page=number + 1) if len(versions) > A_PAGE else None,
        first=here if number > 1 else None,
    )  # fmt: skip


def _runs(tx: Transaction, versions: list[RegisteredVersion]) -> dict[str, Run]:
    ids = list({one.run_id for one in versions if one.run_id and one.run_id.startswith("run_")})
    return {run.id: run for run in tracking.runs_by_id(tx, ids)} if ids else {}


def version(ask: Ask[None, None]) -> Html:
    """Show one version of a model without segments."""
    with ask.read() as tx:
        one = registry.registered_version(tx, ask.path["model"], _number(ask))
        spans = [span for span in registry.timeline(tx, one.model) if span.version_id == one.id]
        charter = governed.charter_of(tx, one.model)
        runs = _runs(tx, [one])
    files = files_of(ask.kit.blobs, one.manifest)
    return page(
        ask, "registered_version.html", title=f"{one.model} v{one.number}", nav="models",
        json=f"/api/registry{links.registered_version(one.model, one.number)}",
        crumbs=[("Fleets and models", "/models"), (one.model, f"{links.model(one.model)}/registry")], version=one,
        run=runs.get(one.run_id or ""), charter=charter, spans=spans, lane_of=views_registry.lane_of,
        tags=shown_tags(one.tags), files=files, stages=STAGES, path=links.registered_version(one.model, one.number),
        signature=views_registry.signature_of(described(ask.kit.blobs, files)),
    )  # fmt: skip


def files_of(blobs: LocalBlobs, manifest: str) -> list[tuple[str, str, int]]:
    """Return (path, digest, size) of a version's files; none when its bytes are no list of files."""
    try:
        if (blobs.size(manifest) or 0) > views_registry.MANIFEST_LARGEST:
            return []
        listed = msgspec.json.decode(blobs.get(manifest), type=list[tuple[str, str, int]])
    except (KeepwellError, msgspec.DecodeError):
        return []
    return listed


def described(blobs: LocalBlobs, files: list[tuple[str, str, int]]) -> Mapping[str, Any]:
    """Return what a model's description file says; empty when there is none, or it is no such file."""
    found = next(
        (digest for path, digest, size in files if path.rpartition("/")[2] == "MLmodel" and size < 1 << 20), None
    )
    if found is None:
        return {}
    try:
        read = yaml.safe_load(blobs.get(found))
    except (yaml.YAMLError, KeepwellError, ValueError, RecursionError):
        return {}
    return read if isinstance(read, dict) else {}


def change_model(ask: Ask[None, ModelForm]) -> SeeOther:
    """Describe a model, set or take a tag, let an alias name a version or nothing."""
    wanted, name = ask.body, ask.path["model"]
    with ask.write() as tx:
        call = ask.call()
        match wanted.do:
            case "describe":
                registry.update_model(tx, call, name, wanted.description.strip() or None)
            case "tag":
                registry.set_model_tags(tx, call, name, {_said(wanted.tag, "tag"): wanted.value})
            case "untag":
                registry.delete_model_tag(tx, call, name, wanted.tag)
            case "alias":
                governed.set_alias(tx, call, name, _said(wanted.alias, "alias"), wanted.number)
            case _:
                governed.delete_alias(tx, call, name, wanted.alias)
    return SeeOther(f"{links.model(name)}/registry")


def change_version(ask: Ask[None, VersionForm]) -> SeeOther:
    """Describe a version, set or take a tag, let an alias name it, set its stage."""
    wanted, name, number = ask.body, ask.path["model"], _number(ask)
    with ask.write() as tx:
        call = ask.call()
        match wanted.do:
            case "describe":
                registry.update_version(tx, call, name, number, wanted.description.strip() or None)
            case "tag":
                registry.set_version_tags(tx, call, name, number, {_said(wanted.tag, "tag"): wanted.value})
            case "untag":
                registry.delete_version_tag(tx, call, name, number, wanted.tag)
            case "alias":
                governed.set_alias(tx, call, name, _said(wanted.alias, "alias"), number)
            case _:
                governed.transition_stage(tx, call, name, number, wanted.stage, wanted.archive)
    return SeeOther(links.registered_version(name, number))


def delete_model(ask: Ask[None, Deletion]) -> SeeOther:
    """Delete a model with its versions."""
    _confirm(ask.body.name, ask.path["model"])
    with ask.write() as tx:
        governed.delete_model(tx, ask.call(), ask.path["model"])
    return SeeOther("/models")


def delete_version(ask: Ask[None, Deletion]) -> SeeOther:
    """Delete a version."""
    _confirm(ask.body.name, f"v{_number(ask)}")
    with ask.write() as tx:
        registry.delete_version(tx, ask.call(), ask.path["model"], _number(ask))
    return SeeOther(f"{links.model(ask.path['model'])}/registry")


def _confirm(said: str, name: str) -> None:
    if said.strip() != name:
        raise InvalidInput(f"Write {name} to delete it; nothing was deleted.", where="name")


def _said(text: str, what: str) -> str:
    if not text.strip():
        raise InvalidInput(f"Name the {what}.", where=what)
    return text.strip()


def _number(ask: Ask[Any, Any]) -> int:
    text = ask.path["number"].removeprefix("v")
    if not text.isascii() or not text.isdigit() or len(text) > 9:
        raise InvalidInput("The number of a version is a whole number.", where="number")
    return int(text)


ROUTES = (
    Route("GET", PATH, "models.read", model, "Show a model in the registry.", query=RegistryQuery, answer=Html),
    Route("POST", PATH, "models.write", change_model, "Describe a model, set its tags and aliases.", body=ModelForm,
          form=True, answer=SeeOther),
    Route("POST", PATH + "/deletion", "models.delete", delete_model, "Delete a model.", body=Deletion, form=True,
          answer=SeeOther),
    Route("GET", VERSION, "models.read", version, "Show a registered version.", answer=Html),
    Route("POST", VERSION, "models.write", change_version, "Describe a version, set its tags, aliases and stage.",
          body=VersionForm, form=True, answer=SeeOther),
    Route("POST", VERSION + "/deletion", "models.delete", delete_version, "Delete a version.", body=Deletion,
          form=True, answer=SeeOther),
)  # fmt: skip
