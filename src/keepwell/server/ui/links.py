"""Addresses of the pages, in one place: each takes ids or names and returns a path on this server. Pure.

What may hold characters that a path segment must not (a segment's key, a search) goes into the query.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, urlencode


def model(name: str) -> str:
    """Page of a fleet or model."""
    return f"/models/{_part(name)}"


def segment(name: str, key: str) -> str:
    """Page of one segment of a fleet."""
    return f"/models/{_part(name)}/segment?{urlencode({'key': key})}"


def charter(name: str) -> str:
    """Page of a model's charter."""
    return f"/models/{_part(name)}/charter"


def version(version_id: str) -> str:
    """Page of a version."""
    return f"/versions/{_part(version_id)}"


def registered_version(name: str, number: int) -> str:
    """Page of a version of a model without segments, by its number."""
    return f"/models/{_part(name)}/versions/{number}"


def dataset(name: str) -> str:
    """Page of a dataset."""
    return f"/data/{_part(name)}"


def dataset_version(version_id: str) -> str:
    """Page of a dataset version."""
    return f"/dataset-versions/{_part(version_id)}"


def arrival(arrival_id: str) -> str:
    """Page of an arrived file."""
    return f"/arrivals/{_part(arrival_id)}"


def incident(incident_id: str) -> str:
    """Page of an incident."""
    return f"/incidents/{_part(incident_id)}"


def run(run_id: str) -> str:
    """Page of a run."""
    return f"/runs/{_part(run_id)}"


def logged_model(model_id: str) -> str:
    """Page of a model that a run logged."""
    return f"/logged-models/{_part(model_id)}"


def experiment(number: int) -> str:
    """Page of an experiment."""
    return f"/experiments/{number}"


def compare(run_ids: Iterable[str]) -> str:
    """Page that compares runs."""
    return f"/compare?{urlencode({'runs': ','.join(run_ids)}, safe=',')}"


def pipeline_run(run_id: str) -> str:
    """Page of a run of a pipeline."""
    return f"/pipeline-runs/{_part(run_id)}"


def tick(tick_id: str) -> str:
    """Page of a tick of the loop."""
    return f"/decisions/{_part(tick_id)}"


def scoring(scoring_id: str) -> str:
    """Page of a batch scoring."""
    return f"/scorings/{_part(scoring_id)}"


def entry(seq: int) -> str:
    """Page of an entry of the ledger."""
    return f"/ledger/{seq}"


BY_PREFIX = {
    "ver": version,
    "dsv": dataset_version,
    "arr": arrival,
    "inc": incident,
    "run": run,
    "prn": pipeline_run,
    "tick": tick,
    "scr": scoring,
}
"""Page of an id by what it starts with."""


def of_id(text: str) -> str | None:
    """Return the page of an id, also of a place in it (`tick_...:0`); None when things of its kind have none."""
    if re.fullmatch(r"m-[0-9a-f]{32}", text):
        return logged_model(text)
    found = re.fullmatch(r"(([a-z]+)_[0-9a-z]{26})(?::\d+)?", text)
    make = BY_PREFIX.get(found[2]) if found else None
    return make(found[1]) if found and make else None


def of_subject(subject: str) -> str | None:
    """Return the page of a ledger's or incident's subject, `<type>:<id or name>`."""
    kind, _, name = subject.partition(":")
    if kind in ("model", "fleet"):
        return model(name)
    if kind == "experiment":
        return experiment(int(name)) if name.isdigit() else None
    return dataset(name) if kind == "dataset" else of_id(name)


def with_query(path: str, /, **wanted: object) -> str:
    """Return a path with a query of what is not None or empty."""
    kept = {name: value for name, value in wanted.items() if value not in (None, "")}
    return f"{path}?{urlencode(kept)}" if kept else path


def _part(text: str) -> str:
    return quote(text, safe="")
