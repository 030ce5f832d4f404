"""Tables, loaded when one is first touched: the base installs and starts without polars, most of the weight."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import TYPE_CHECKING, Any

from keepwell.core.errors import NotInstalled


class LazyModule(ModuleType):
    """Stands for a module until something of it is asked for, and passes on what it is asked.

    Args:
        name: the module's name.
        missing: the sentence for who does not have it, which names the extra.
    """

    def __init__(self, name: str, missing: str) -> None:
        super().__init__(name)
        self._missing = missing
        for told in ("__doc__", "__package__", "__loader__", "__spec__"):
            self.__dict__.pop(told, None)  # so that the module itself is asked

    def __getattr__(self, name: str) -> Any:
        """Return what the module has under a name.

        Raises:
            NotInstalled: the module is not there.
        """
        try:
            value = getattr(importlib.import_module(self.__name__), name)
        except ModuleNotFoundError as error:
            if error.name != self.__name__:
                raise
            raise NotInstalled(self._missing) from None
        self.__dict__[name] = value
        return value


if TYPE_CHECKING:
    import polars as pl
else:
    pl = LazyModule("polars", "Reading tables needs an extra that is not installed: pip install 'keepwell[data]'.")

__all__ = ["LazyModule", "pl"]
