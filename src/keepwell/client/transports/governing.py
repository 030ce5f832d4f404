"""What an environment lets a model do when it is loaded, and the record of it: in this process, or from a server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from keepwell.client.transports import Closed
from keepwell.client.transports.web import Web
from keepwell.core.errors import Denied, InvalidInput
from keepwell.core.names import check_name
from keepwell.governance.policy_rules import EnvironmentPolicy

if TYPE_CHECKING:
    from keepwell.client.transports.home import Home
    from keepwell.models.flavors import Policy, Unsafe


def policy_at(transport: Any, environment: str, model: str | None) -> Policy:
    """Return what the policy of an environment lets a model do; an unsafe load is recorded there before it happens.

    Args:
        transport: to the house that governs it.
        environment: whose policy holds.
        model: the name that an unsafe load is recorded under, where it can be a name.

    Raises:
        InvalidInput: the name cannot be one of an environment.
        Unavailable: it cannot be asked.
    """
    check_name(environment, "environment")
    name = _named(model)
    return (
        _of_server(transport, environment, name)
        if isinstance(transport, Web)
        else _of_home(transport, environment, name)
    )


def _of_home(home: Home, environment: str, model: str | None) -> Policy:
    from keepwell.flows.opening import policy_of

    return policy_of(home.kit, environment, home.actor, model=model)


def _of_server(web: Web, environment: str, model: str | None) -> Policy:
    from keepwell.models.flavors import Policy

    at = f"/api/policies/{quote(environment, safe='')}"
    with _denied():
        standing = web.ask("GET", at, kind=EnvironmentPolicy)

    def record(unsafe: Unsafe) -> None:
        body = {"digest": unsafe.digest, "flavor": unsafe.flavor, "model": model}
        with _denied():
            web.raw("POST", f"{at}/unsafe-loads", body=body)

    return Policy(pickle=standing.pickle, code=standing.code, recorder=record)


@contextlib.contextmanager
def _denied() -> Iterator[None]:
    """Say what a server refuses as refused, not as something that may be better later."""
    try:
        yield
    except Closed as error:
        if not error.denied:
            raise
        raise Denied(error.denied) from None


def _named(model: str | None) -> str | None:
    with contextlib.suppress(InvalidInput):
        return None if model is None else check_name(model, "model")
    return None
