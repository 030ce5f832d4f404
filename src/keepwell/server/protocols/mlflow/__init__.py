"""MLflow's REST protocol, as its clients of version 3 speak it, over our own tracking and registry.

One module a part of the protocol; `calls` declares a call once for all of its prefixes, `fields` reads requests and
`writing` writes answers, `checks` holds MLflow's limits and sentences, `errors` its error codes.
"""

from keepwell.server.protocols.mlflow import artifacts, experiments, logged_models, metrics, missing, registry, runs

ROUTES = (
    *experiments.ROUTES,
    *runs.ROUTES,
    *metrics.ROUTES,
    *logged_models.ROUTES,
    *registry.ROUTES,
    *artifacts.ROUTES,
    *missing.ROUTES,
)
