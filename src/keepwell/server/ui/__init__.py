"""The pages: every `pages_*.py` of this folder lists its routes in `ROUTES`; scripts and styles come with them."""

import importlib
import pkgutil

from keepwell.server.routing import Route
from keepwell.server.ui import static_files
from keepwell.server.ui.look import LOOK
from keepwell.server.ui.render import compile_all

__all__ = ["LOOK", "ROUTES"]


def _collect() -> tuple[Route, ...]:
    names = sorted(found.name for found in pkgutil.iter_modules(__path__) if found.name.startswith("pages_"))
    files = [importlib.import_module(f"{__name__}.{name}") for name in names]
    compile_all()
    return (*static_files.ROUTES, *(route for file in files for route in file.ROUTES))


ROUTES = _collect()
