"""Search for models and versions by the one grammar of searches (`core.filters`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, exists

from keepwell.core.errors import InvalidInput
from keepwell.core.filters import MODEL_VERSIONS, REGISTERED_MODELS, Comparison, Kind, parse_filter, parse_order
from keepwell.core.paging import check_limit
from keepwell.db import Transaction
from keepwell.db.matching import compared
from keepwell.models import registry_queries
from keepwell.models.registry_model import RegisteredModel, RegisteredVersion
from keepwell.models.registry_queries import MODELS, UPDATED, VERSIONS
from keepwell.models.registry_store import details, model_tags, version_tags
from keepwell.models.store import batches, models, versions

MOST_MODELS = 1_001
MOST_VERSIONS = 200_001
"""The largest pages that clients of the protocol ask for, and the one more that says whether there is another."""
FARTHEST = 10**9

_MODEL_KEYS: Mapping[str, ColumnElement[Any]] = {
    "name": models.c.name,
    "timestamp": models.c.updated_at,
    "last_updated_timestamp": models.c.updated_at,
    "creation_timestamp": models.c.created_at,
}
_VERSION_KEYS: Mapping[str, ColumnElement[Any]] = {
    "name": versions.c.model,
    "version_number": versions.c.number,
    "run_id": batches.c.run_id,
    "source_path": details.c.source,
    "creation_timestamp": batches.c.created_at,
    "last_updated_timestamp": UPDATED,
}
_NEWEST_FIRST = ("last_updated_timestamp DESC", "name ASC", "version_number DESC")


def search_models(
    tx: Transaction,
    filter: str = "",
    order_by: Sequence[str] = (),
    limit: int = 100,
    offset: int = 0,
) -> list[RegisteredModel]:
    """Return the models that a filter finds, by name or in the order asked for.

    Args:
        tx: a transaction.
        filter: such as `name ILIKE '%demand%' AND tags.team = 'retail'`.
        order_by: such as `["last_updated_timestamp DESC"]`.
        limit: how many at most.
        offset: how many to skip.

    Raises:
        InvalidInput: filter, order or page cannot be meant.
    """

    def tagged(comparison: Comparison) -> ColumnElement[bool]:
        here = model_tags.c
        found = compared(tx, here.value, comparison)
        return exists().where(here.model == models.c.name, here.name == comparison.key, found)

    query = _found(tx, MODELS, filter, REGISTERED_MODELS, _MODEL_KEYS, tagged)
    query = _ordered(query, order_by, REGISTERED_MODELS, _MODEL_KEYS, (("name", True),))
    return registry_queries.whole_models(tx, tx.execute(_page(query, limit, offset, MOST_MODELS)).all())


def search_versions(
    tx: Transaction,
    filter: str = "",
    order_by: Sequence[str] = (),
    limit: int = 100,
    offset: int = 0,
) -> list[RegisteredVersion]:
    """Return the versions of models without segments that a filter finds, newest change first or as asked for.

    Args:
        tx: a transaction.
        filter: such as `name = 'demand' AND tags.`validation` = 'passed'`.
        order_by: such as `["version_number DESC"]`.
        limit: how many at most.
        offset: how many to skip.

    Raises:
        InvalidInput: filter, order or page cannot be meant.
    """

    def tagged(comparison: Comparison) -> ColumnElement[bool]:
        here = version_tags.c
        found = compared(tx, here.value, comparison)
        return exists().where(here.version == versions.c.id, here.name == comparison.key, found)

    query = _found(tx, VERSIONS, filter, MODEL_VERSIONS, _VERSION_KEYS, tagged)
    query = _ordered(
        query, order_by or _NEWEST_FIRST, MODEL_VERSIONS, _VERSION_KEYS, (("name", True), ("version_number", False))
    )
    return registry_queries.labelled(tx, tx.execute(_page(query, limit, offset, MOST_VERSIONS)).all())


def _found(
    tx: Transaction,
    query: Select[Any],
    text: str,
    kind: Kind,
    keys: Mapping[str, ColumnElement[Any]],
    tagged: Callable[[Comparison], ColumnElement[bool]],
) -> Select[Any]:
    for comparison in parse_filter(text, kind):
        if comparison.entity == "tag":
            query = query.where(tagged(comparison))
        else:
            query = query.where(compared(tx, keys[comparison.key], comparison))
    return query


def _ordered(
    query: Select[Any],
    clauses: Sequence[str],
    kind: Kind,
    keys: Mapping[str, ColumnElement[Any]],
    last: Sequence[tuple[str, bool]],
) -> Select[Any]:
    """Order a query by clauses, and by what makes the order whole."""
    wanted = [(order.key, order.ascending) for order in parse_order(clauses, kind)]
    wanted += [(key, ascending) for key, ascending in last if key not in dict(wanted)]
    return query.order_by(*(keys[key].asc() if ascending else keys[key].desc() for key, ascending in wanted))


def _page(query: Select[Any], limit: int, offset: int, most: int) -> Select[Any]:
    if isinstance(offset, bool) or not isinstance(offset, int) or not 0 <= offset <= FARTHEST:
        raise InvalidInput("This is not a page of this search; start again without it.", where="page_token")
    return query.limit(check_limit(limit, most)).offset(offset)
