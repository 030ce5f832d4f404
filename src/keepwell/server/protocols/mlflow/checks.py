"""What names, values and batches MLflow's server takes, and its sentences for the rest (mlflow/utils/validation.py).

The patterns, limits and messages are the protocol's: clients show and match them. What is kept is decided again, more
strictly where it must be, by the services.
"""

from __future__ import annotations

import posixpath
import re
from collections.abc import Sequence

from keepwell.server.protocols.mlflow.errors import API_DOCS, invalid, missing
from keepwell.server.protocols.mlflow.fields import Field as F
from keepwell.server.protocols.mlflow.fields import Given, invalid_value, read_float, typed

MOST_METRICS, MOST_PARAMS_AND_TAGS, MOST_ENTITIES = 1_000, 100, 1_000
LONGEST_KEY, LONGEST_PARAM, LONGEST_TAG = 250, 6_000, 8_000
LONGEST_EXPERIMENT_NAME, LONGEST_EXPERIMENT_TAG = 500, 20_000
LONGEST_REGISTRY_TAG, LONGEST_ALIAS = 100_000, 255
MOST_RESULTS = 50_000
_BEYOND = 1 << 62
"""No experiment and no version has such a number."""

_KEY = re.compile(r"[/\w.\- :]*\Z")
_RUN_ID = re.compile(r"[a-zA-Z0-9][\w\-]{0,255}\Z")
_ALIAS = re.compile(r"[\w\-]*\Z")
_ALIAS_LIKE_VERSION = re.compile(r"[vV]\d+\Z")
_BAD_CHARACTERS = (
    "Names may only contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) and "
    "slashes (/)."
)


def check_key(key: str, path: str) -> None:
    """Refuse the key of a metric, parameter or tag.

    Raises:
        Refusal: it holds other characters, or would be another path.
    """
    if not _KEY.match(key):
        raise invalid(invalid_value(path, key, _BAD_CHARACTERS))
    if _is_other_path(key):
        raise invalid(invalid_value(path, key, _other_path(key)))


def check_length(what: str, value: str, most: int) -> str:
    """Return a text that is not too long."""
    if len(value) > most:
        raise invalid(f"'{what}' exceeds the maximum length of {most} characters")
    return value


def check_metric(key: str, value: float, at: int, step: int, path: str = "") -> None:
    """Refuse a metric's name and moment."""
    dot = f"{path}." if path else ""
    check_key(key, f"{dot}name")
    if at < 0:
        said = f"metric '{key}' (value={value}). Timestamp must be a nonnegative long (64-bit integer) "
        raise invalid(invalid_value(f"{dot}timestamp", at, said))
    check_length("Metric name", key, LONGEST_KEY)


def read_param(key: str, value: str, path: str = "") -> tuple[str, str]:
    """Return a parameter as it is kept; a long value is cut."""
    if key == "":
        raise invalid(invalid_value(f"{path}.key" if path else "key", "", "A key name must be provided."))
    check_key(key, f"{path}.key" if path else "key")
    return check_length("Param key", key, LONGEST_KEY), value[:LONGEST_PARAM]


def read_tag(key: str, value: str, path: str = "") -> tuple[str, str]:
    """Return a run's tag as it is kept; a long value is cut."""
    name = f"{path}.key" if path else "key"
    check_key(key, name)
    return check_length(name, key, LONGEST_KEY), value[:LONGEST_TAG]


def check_experiment_tag(key: str, value: str) -> None:
    """Refuse an experiment's tag."""
    check_key(key, "key")
    check_length("key", key, LONGEST_KEY)
    check_length("value", value, LONGEST_EXPERIMENT_TAG)


def check_registry_tag(key: str, value: str) -> None:
    """Refuse the tag of a registered model or version."""
    check_key(key, "key")
    check_length("key", key, LONGEST_KEY)
    check_length("value", value, LONGEST_REGISTRY_TAG)


def check_run_id(run_id: str) -> None:
    """Refuse what cannot be the id of a run."""
    if not _RUN_ID.match(run_id):
        raise invalid(invalid_value("run_id", run_id))


def read_experiment_id(text: str) -> int:
    """Return an experiment's id."""
    try:
        number = int(text[:40])
    except ValueError:
        raise invalid(f"Invalid experiment ID '{text[:100]}'. Experiment ID must be a valid integer.") from None
    if abs(number) >= _BEYOND:
        raise missing(f"No Experiment with id={text[:100]} exists")
    return number


def check_experiment_name(name: str) -> None:
    """Refuse the name of an experiment."""
    check_length("name", name, LONGEST_EXPERIMENT_NAME)


def check_model_name(name: str, where: str = "name") -> None:
    """Refuse the name of a registered model."""
    if name.strip() == "":
        raise invalid(f"Missing value for required parameter '{where}'.")
    if "/" in name or ":" in name:
        raise invalid(f"Invalid model name '{name[:200]}'. Names cannot contain '/' or ':'.")
    if _is_other_path(name):
        raise invalid(invalid_value("name", name, _other_path(name)))


def read_version(text: str) -> int:
    """Return the number of a version."""
    try:
        number = int(text[:40])
    except ValueError:
        raise invalid(f"Parameter 'version' must be an integer, got '{text[:100]}'.") from None
    return max(-1, min(number, _BEYOND))


def check_alias(alias: str) -> None:
    """Refuse the name of an alias."""
    if not _ALIAS.match(alias):
        said = "Names may only contain alphanumerics, underscores (_), and dashes (-)."
        raise invalid(f"Invalid alias name: '{alias[:300]}'. {said}")
    check_length("Registered model alias name", alias, LONGEST_ALIAS)


def check_new_alias(alias: str) -> None:
    """Refuse the name of an alias that is to be set."""
    check_alias(alias)
    if alias.lower() == "latest":
        raise invalid("'latest' alias name (case insensitive) is reserved.")
    if _ALIAS_LIKE_VERSION.match(alias):
        raise invalid(f"Version alias name '{alias}' is reserved.")


def check_results(most: int) -> int:
    """Return how many results are asked for."""
    if most < 1:
        raise invalid(f"Invalid value {most} for parameter 'max_results' supplied. It must be a positive integer")
    if most > MOST_RESULTS:
        raise invalid(f"Invalid value {most} for parameter 'max_results' supplied. It must be at most {MOST_RESULTS}")
    return most


def at_most(most: int) -> F:
    """Return the field `max_results` with an upper bound that is checked with its type."""
    return F("max_results", "int32", check=lambda count: "" if count > most else None)


def read_pairs(items: Sequence[Given], path: str) -> list[tuple[str, str]]:
    """Return keys and values of params or tags.

    Raises:
        Refusal: a key is missing, or one is not text.
    """
    found = []
    for place, item in enumerate(items):
        key, value = item.get("key"), item.get("value")
        if key is None or key == "":
            raise invalid(f"Missing value for required parameter '{path}[{place}].key'.{API_DOCS}")
        found.append((typed(F(f"{path}[{place}].key"), key), typed(F(f"{path}[{place}].value"), value or "")))
    return found


def read_metrics(items: Sequence[Given]) -> list[tuple[str, float, int, int]]:
    """Return metrics of a batch as name, value, step and moment.

    Raises:
        Refusal: a part is missing or not what it should be.
    """
    found = []
    for place, item in enumerate(items):
        key, value, at, step = item.get("key"), item.get("value"), item.get("timestamp"), item.get("step", 0)
        if type(key) is str and type(value) is float and type(at) is int and type(step) is int:
            row = (key, value, step, at)
        else:
            row = _read_metric(place, item)
        check_row(row, place)
        found.append(row)
    return found


def check_row(row: tuple[str, float, int, int], place: int) -> None:
    """Refuse a metric of a batch."""
    key, value, step, at = row
    if not (-(1 << 63) <= step < 1 << 63 and at < 1 << 63) or key == "":
        raise invalid(invalid_value(f"metrics[{place}]", {"key": key, "timestamp": at, "step": step}))
    if at < 0 or key not in _SEEN:
        check_metric(key, value, at, step, f"metrics[{place}]")
        if len(_SEEN) < 10_000:
            _SEEN.add(key)


_SEEN: set[str] = set()
"""Metric names that were good; most points have a name that was there before."""


def check_batch(metrics: int, params: int, tags: int) -> None:
    """Refuse a batch that holds too much."""
    for what, count, most in (
        ("metrics", metrics, MOST_METRICS),
        ("params", params, MOST_PARAMS_AND_TAGS),
        ("tags", tags, MOST_PARAMS_AND_TAGS),
        ("metrics, params, and tags", metrics + params + tags, MOST_ENTITIES),
    ):
        if count > most:
            raise invalid(
                f"A batch logging request can contain at most {most} {what}. Got {count} {what}. "
                f"Please split up {what} across multiple requests and try again."
            )


def check_unique(params: Sequence[tuple[str, str]]) -> None:
    """Refuse params of a batch that name one key with two values."""
    keys = [key for key, _ in params]
    twice = sorted({key for key in keys if keys.count(key) > 1}) if len(set(keys)) != len(keys) else []
    if twice:
        raise invalid(
            f"Duplicate parameter keys have been submitted: {twice}. Please ensure the request contains only one "
            "param value per param key."
        )


def _read_metric(place: int, item: Given) -> tuple[str, float, int, int]:
    for name in ("key", "value", "timestamp"):
        if item.get(name) is None or item.get(name) == "":
            raise invalid(f"Missing value for required parameter 'metrics[{place}].{name}'.{API_DOCS}")
    at = typed(F(f"metrics[{place}].timestamp", "int"), item["timestamp"])
    value = read_float(item["value"])
    if value is None:
        said = f"(timestamp={at}). Please specify value as a valid double (64-bit floating point)"
        raise invalid(invalid_value(f"metrics[{place}].value", item["value"], said))
    step = item.get("step")
    return (
        typed(F(f"metrics[{place}].key"), item["key"]),
        value,
        0 if step is None else typed(F(f"metrics[{place}].step", "int"), step),
        at,
    )


def _is_other_path(name: str) -> bool:
    normal = posixpath.normpath(name)
    return normal != name or normal == "." or normal.startswith(("..", "/"))


def _other_path(name: str) -> str:
    return (
        "Names may be treated as files in certain cases, and must not resolve to other names when treated as such. "
        f"This name would resolve to {posixpath.normpath(name)!r}"
    )
