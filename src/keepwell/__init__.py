"""Keepwell keeps production models in good standing.

The verbs that record runs are here, and are loaded when the first of them is used:

    import keepwell

    with keepwell.start_run("first try", params={"depth": 4}):
        for loss in train():
            keepwell.log_metric("loss", loss)
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from keepwell.client.autolog import autolog as autolog
    from keepwell.client.fluent import active_run as active_run
    from keepwell.client.fluent import delete_tag as delete_tag
    from keepwell.client.fluent import end_run as end_run
    from keepwell.client.fluent import flush as flush
    from keepwell.client.fluent import get_tracking_uri as get_tracking_uri
    from keepwell.client.fluent import log_artifact as log_artifact
    from keepwell.client.fluent import log_artifacts as log_artifacts
    from keepwell.client.fluent import log_dict as log_dict
    from keepwell.client.fluent import log_figure as log_figure
    from keepwell.client.fluent import log_image as log_image
    from keepwell.client.fluent import log_input as log_input
    from keepwell.client.fluent import log_metric as log_metric
    from keepwell.client.fluent import log_metrics as log_metrics
    from keepwell.client.fluent import log_param as log_param
    from keepwell.client.fluent import log_params as log_params
    from keepwell.client.fluent import log_points as log_points
    from keepwell.client.fluent import log_table as log_table
    from keepwell.client.fluent import log_text as log_text
    from keepwell.client.fluent import set_experiment as set_experiment
    from keepwell.client.fluent import set_tag as set_tag
    from keepwell.client.fluent import set_tags as set_tags
    from keepwell.client.fluent import set_tracking_uri as set_tracking_uri
    from keepwell.client.fluent import start_run as start_run
    from keepwell.client.models import load_model as load_model
    from keepwell.client.models import log_model as log_model
    from keepwell.client.models import register_model as register_model
    from keepwell.client.reading import download_artifacts as download_artifacts
    from keepwell.client.reading import get_run as get_run
    from keepwell.client.reading import metric_history as metric_history
    from keepwell.client.reading import search_runs as search_runs

_VERBS = {
    "autolog": ("autolog",),
    "fluent": (
        "active_run",
        "delete_tag",
        "end_run",
        "flush",
        "get_tracking_uri",
        "log_artifact",
        "log_artifacts",
        "log_dict",
        "log_figure",
        "log_image",
        "log_input",
        "log_metric",
        "log_metrics",
        "log_param",
        "log_params",
        "log_points",
        "log_table",
        "log_text",
        "set_experiment",
        "set_tag",
        "set_tags",
        "set_tracking_uri",
        "start_run",
    ),
    "models": ("load_model", "log_model", "register_model"),
    "reading": ("download_artifacts", "get_run", "metric_history", "search_runs"),
}
"""The verbs, by the module of `keepwell.client` that holds them."""


def __getattr__(name: str) -> Any:
    """Load the module of a verb when the verb is first used."""
    import importlib

    for module, verbs in _VERBS.items():
        if name in verbs:
            found = importlib.import_module(f"keepwell.client.{module}")
            globals().update({verb: getattr(found, verb) for verb in verbs})
            return globals()[name]
    raise AttributeError(f"module 'keepwell' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *(verb for verbs in _VERBS.values() for verb in verbs)})
