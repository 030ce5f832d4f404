"""Every route of the API, one file a capability."""

from keepwell.server.api import (
    charters,
    datasets,
    identity,
    ledger,
    logged_models,
    loop,
    models,
    monitoring,
    pipelines,
    policies,
    registry,
    releases,
    runs,
    scorings,
    sources,
    tracking,
)

ROUTES = (
    *charters.ROUTES,
    *datasets.ROUTES,
    *runs.ROUTES,
    *tracking.ROUTES,
    *logged_models.ROUTES,
    *pipelines.ROUTES,
    *models.ROUTES,
    *registry.ROUTES,
    *sources.ROUTES,
    *releases.ROUTES,
    *scorings.ROUTES,
    *monitoring.ROUTES,
    *loop.ROUTES,
    *policies.ROUTES,
    *ledger.ROUTES,
    *identity.ROUTES,
)
