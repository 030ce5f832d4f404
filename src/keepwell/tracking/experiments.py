"""Use cases of experiments: make, find, rename, delete, restore, tag."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from keepwell.core import failpoints
from keepwell.core.calls import Call
from keepwell.core.clock import to_ms
from keepwell.core.errors import Conflict, NotFound
from keepwell.core.events import Event
from keepwell.core.paging import check_limit
from keepwell.db import Transaction
from keepwell.ledger import append, once
from keepwell.tracking import experiments_store as store
from keepwell.tracking import rules, search_store
from keepwell.tracking.model import DEFAULT_NAME, Experiment, View

MOST = 50_001
"""The largest page that clients of MLflow ask for, and the one more that says whether there is another."""


def ensure_default(tx: Transaction, call: Call) -> None:
    """Make the experiment that always is there, when it is not; the ledger is not told, it belongs to every house."""
    store.ensure_default(tx, to_ms(call.now))


def create_experiment(tx: Transaction, call: Call, name: str, tags: Mapping[str, str] | None = None) -> Experiment:
    """Make an experiment; the ledger gets `experiment.created`.

    Raises:
        InvalidInput: the name or a tag cannot be used.
        Conflict: there is one of that name, perhaps a deleted one; code `exists`.
    """
    rules.check_experiment_name(name)
    accepted = rules.accept_tags(tags or {})

    def effect() -> Experiment:
        store.ensure_default(tx, to_ms(call.now))
        there = store.by_name(tx, name)
        if there is not None:
            how = "" if there.lifecycle == "active" else " in deleted state. Restore it, or choose another name"
            raise Conflict(f"Experiment(name={name}) already exists{how}.", code="exists")
        made = store.add(tx, name, accepted, rules.check_ms(call.now))
        failpoints.reach("tracking.experiment_changed")
        append(tx, call, Event("experiment.created", f"experiment:{made.id}", {"name": name}))
        return made

    return once(tx, call, ["create_experiment", name, accepted], effect, Experiment)


def get_or_create_experiment(tx: Transaction, call: Call, name: str) -> Experiment:
    """Return the experiment of a name, made when there is none.

    Raises:
        InvalidInput: the name cannot be used.
        Conflict: the experiment of that name is deleted; code `not_active`.
    """
    there = store.by_name(tx, name)
    if there is None and name == DEFAULT_NAME:
        store.ensure_default(tx, to_ms(call.now))
        there = store.by_name(tx, name)
    if there is None:
        return create_experiment(tx, call, name)
    if there.lifecycle != "active":
        raise Conflict(f"The experiment {name!r} is deleted; restore it, or choose another name.", code="not_active")
    return there


def experiment(tx: Transaction, number: int) -> Experiment:
    """Return an experiment, deleted or not.

    Raises:
        NotFound: there is none.
    """
    found = store.get(tx, number)
    if found is None:
        raise NotFound(f"No Experiment with id={number} exists", where="experiment_id")
    return found


def experiment_by_name(tx: Transaction, name: str) -> Experiment | None:
    """Return the experiment of a name, deleted or not; None when there is none."""
    return store.by_name(tx, name)


def search_experiments(
    tx: Transaction,
    filter: str | None = "",
    order_by: Sequence[str] = (),
    view: View = "active",
    limit: int = 100,
    offset: int = 0,
) -> list[Experiment]:
    """Return experiments, by MLflow's grammar; newest first unless ordered.

    Raises:
        InvalidInput: the filter, the order or the limit cannot be used.
    """
    check_limit(limit, MOST)
    return search_store.experiments(tx, filter, order_by, view, limit, offset)


def update_experiment(tx: Transaction, call: Call, number: int, name: str) -> Experiment:
    """Rename an experiment; the ledger gets `experiment.renamed`.

    Raises:
        InvalidInput: the name cannot be used.
        NotFound: there is no such experiment.
        Conflict: it is deleted (`not_active`), or another one has the name (`exists`).
    """
    rules.check_experiment_name(name)
    found = experiment(tx, number)
    if found.lifecycle != "active":
        raise Conflict("Cannot rename a non-active experiment.", code="not_active")
    other = store.by_name(tx, name)
    if other is not None and other.id != number:
        raise Conflict(f"Experiment(name={name}) already exists.", code="exists")
    store.set_fields(tx, number, name=name, updated=to_ms(call.now))
    failpoints.reach("tracking.experiment_changed")
    append(tx, call, Event("experiment.renamed", f"experiment:{number}", {"from": found.name, "to": name}))
    return experiment(tx, number)


def delete_experiment(tx: Transaction, call: Call, number: int) -> None:
    """Delete an experiment and its runs, to be restored or freed later; the ledger gets `experiment.deleted`.

    Raises:
        NotFound: there is no such experiment that is active.
    """
    found = experiment(tx, number)
    if found.lifecycle != "active":
        raise NotFound(f"No Experiment with id={number} exists", where="experiment_id")
    now = to_ms(call.now)
    store.set_fields(tx, number, gone=1, updated=now)
    count = store.set_runs_gone(tx, number, 1, now)
    failpoints.reach("tracking.experiment_changed")
    append(tx, call, Event("experiment.deleted", f"experiment:{number}", {"name": found.name, "runs": count}))


def restore_experiment(tx: Transaction, call: Call, number: int) -> None:
    """Restore a deleted experiment and its runs; the ledger gets `experiment.restored`.

    Raises:
        NotFound: there is no such experiment that is deleted.
    """
    found = experiment(tx, number)
    if found.lifecycle != "deleted":
        raise NotFound(f"No Experiment with id={number} exists", where="experiment_id")
    store.set_fields(tx, number, gone=0, updated=to_ms(call.now))
    count = store.set_runs_gone(tx, number, 0, None)
    failpoints.reach("tracking.experiment_changed")
    append(tx, call, Event("experiment.restored", f"experiment:{number}", {"name": found.name, "runs": count}))


def set_experiment_tag(tx: Transaction, call: Call, number: int, name: str, value: str) -> None:
    """Set a tag of an experiment; the ledger gets `experiment.tagged`.

    Raises:
        InvalidInput: the tag cannot be used.
        NotFound: there is no such experiment.
        Conflict: it is deleted; code `not_active`.
    """
    accepted = rules.accept_tags({name: value})
    active_experiment(tx, number)
    store.set_tag(tx, number, name, accepted[name])
    failpoints.reach("tracking.experiment_changed")
    append(tx, call, Event("experiment.tagged", f"experiment:{number}", {"tag": name}))


def delete_experiment_tag(tx: Transaction, call: Call, number: int, name: str) -> None:
    """Delete a tag of an experiment; the ledger gets `experiment.untagged`.

    Raises:
        NotFound: there is no such experiment or tag.
        Conflict: the experiment is deleted; code `not_active`.
    """
    active_experiment(tx, number)
    if not store.delete_tag(tx, number, name):
        raise NotFound(f"No tag with name: {name} in experiment with id {number}", where="key")
    failpoints.reach("tracking.experiment_changed")
    append(tx, call, Event("experiment.untagged", f"experiment:{number}", {"tag": name}))


def active_experiment(tx: Transaction, number: int) -> None:
    """Refuse an experiment that is not there, or deleted.

    Raises:
        NotFound: there is none.
        Conflict: it is deleted; code `not_active`.
    """
    gone = store.gone(tx, number)
    if gone is None:
        raise NotFound(f"No Experiment with id={number} exists", where="experiment_id")
    if gone:
        raise Conflict(
            f"The experiment {number} must be in the 'active' state. Current state is deleted.", code="not_active"
        )
