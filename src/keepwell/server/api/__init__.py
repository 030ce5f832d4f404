"""Every route of the API, one file a capability."""

from keepwell.server.api import health

ROUTES = (*health.ROUTES,)
