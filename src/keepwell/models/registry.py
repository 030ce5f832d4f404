"""The registry's use cases by name and number, in one place; `flows.registry` adds what charters demand."""

from __future__ import annotations

from keepwell.models.deleting import delete_model, delete_version, delete_versions, restore_version
from keepwell.models.labels import (
    by_alias,
    delete_alias,
    delete_model_tag,
    delete_version_tag,
    latest_registered,
    set_alias,
    set_model_tags,
    set_version_tags,
    transition_stage,
)
from keepwell.models.registered import (
    Origin,
    create_model,
    create_version,
    model_name,
    registered_model,
    registered_version,
    rename_model,
    update_model,
    update_version,
    version_by_id,
)
from keepwell.models.registry_rules import MOST_DESCRIPTION
from keepwell.models.registry_search import search_models, search_versions
from keepwell.models.timeline import timeline

__all__ = [
    "MOST_DESCRIPTION",
    "Origin",
    "by_alias",
    "create_model",
    "create_version",
    "delete_alias",
    "delete_model",
    "delete_model_tag",
    "delete_version",
    "delete_version_tag",
    "delete_versions",
    "latest_registered",
    "model_name",
    "registered_model",
    "registered_version",
    "rename_model",
    "restore_version",
    "search_models",
    "search_versions",
    "set_alias",
    "set_model_tags",
    "set_version_tags",
    "timeline",
    "transition_stage",
    "update_model",
    "update_version",
    "version_by_id",
]
