"""The pages."""

from keepwell.server.app import PLAIN
from keepwell.server.routing import Route

ROUTES: tuple[Route, ...] = ()
LOOK = PLAIN
