"""Serve a house from this process until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import resource
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

import uvicorn
from starlette.types import ASGIApp

from keepwell import __version__, db, ledger
from keepwell.core.errors import InvalidInput, KeepwellError, Unavailable
from keepwell.core.events import Event
from keepwell.flows.kit import Kit
from keepwell.governance import identity
from keepwell.server import security
from keepwell.server.app import Opening, all_routes, assemble, make_edge
from keepwell.server.guard import Edge
from keepwell.server.limits import Limits
from keepwell.server.log import IntoLog, Log
from keepwell.server.protocol import BoundedProtocol
from keepwell.server.routing import Auth, Look, Route, Tick

OPEN_FILES = 4_096


@dataclass(frozen=True, slots=True)
class Served:
    """Where the server listens.

    Attributes:
        address: such as `http://127.0.0.1:8400`.
        sign_in: a link that signs its owner in once within 15 minutes; None without sign-in.
        auth: `none` when nobody has to sign in.
        warnings: sentences that whoever started the server should read.
        stop: tells the server to let running requests end and return, from any thread.
    """

    address: str
    sign_in: str | None
    auth: Auth
    warnings: tuple[str, ...]
    stop: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Binding:
    """Where and how to listen.

    Attributes:
        host: address to bind to.
        port: TCP port; 0 takes a free one.
        auth: `token`, or `none` on loopback only.
        insecure: let tokens and cookies cross a network without TLS.
        certificate: file of the TLS certificate chain (PEM).
        key: file of its private key (PEM).
        allow_hosts: more host names under which the server answers.
    """

    host: str = "127.0.0.1"
    port: int = 8400
    auth: Auth = "token"
    insecure: bool = False
    certificate: Path | None = None
    key: Path | None = None
    allow_hosts: Sequence[str] = ()

    @property
    def tls(self) -> bool:
        """Whether clients reach the server over TLS."""
        return self.certificate is not None


def _pages() -> tuple[Sequence[Route], Look]:
    from keepwell.server import ui  # here, as they are loaded while the server listens already

    return ui.ROUTES, ui.LOOK


@dataclass(frozen=True, slots=True)
class Parts:
    """What is served beside the API.

    Attributes:
        pages: loads the routes of the pages, and how errors and the sign-in form look.
        tick: runs the loop once.
        heartbeat: when the loop last finished a tick.
        limits: bounds of the edge.
        log: where the log goes; stderr if absent.
    """

    pages: Callable[[], tuple[Sequence[Route], Look]] = _pages
    tick: Tick | None = None
    heartbeat: Callable[[], datetime | None] = lambda: None
    limits: Limits = field(default_factory=Limits)
    log: TextIO | None = None


def serve(
    kit: Kit,
    binding: Binding,
    *,
    owner: str,
    parts: Parts | None = None,
    on_start: Callable[[Served], None] = lambda _: None,
    on_stop: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT, then let running requests end and return.

    Args:
        kit: the opened house.
        binding: where and how to listen.
        owner: the person who starts the server, `person:<name>`; on first start they become the owner.
        parts: pages, look, and the loop's hooks.
        on_start: called in this thread once the server listens, with its address and sign-in link.
        on_stop: called in this thread when no request runs any more.

    Raises:
        InvalidInput: the binding is not one that is safe, or its TLS files cannot be read.
        Unavailable: the address is in use, or not one of this machine.
    """
    chosen = parts or Parts()
    check_binding(binding)
    log = Log(chosen.log or sys.stderr, kit.clock)
    with _listen(binding) as listener:
        port = int(listener.getsockname()[1])
        served = _open_up(kit, binding, owner, port)
        edge = make_edge(
            kit,
            auth=binding.auth,
            host=binding.host,
            port=port,
            tls=binding.tls,
            allow_hosts=binding.allow_hosts,
            tick=chosen.tick,
            heartbeat=chosen.heartbeat,
            limits=chosen.limits,
            log=chosen.log,
        )
        app = Opening(edge, functools.partial(_whole, edge, chosen))
        server = _Server(_config(app, binding, chosen.limits), app, lambda: on_start(served))
        served = replace(served, stop=server.stop)
        with _into(log):
            log.write("server.started", address=served.address, auth=binding.auth, warnings=served.warnings)
            try:
                server.run(sockets=[listener])
            finally:
                on_stop()
                _note_stop(kit, owner, log)
                log.write("server.stopped", address=served.address)
        if server.failure is not None:
            raise server.failure


def _whole(edge: Edge, parts: Parts) -> ASGIApp:
    pages, look = parts.pages()
    return assemble(replace(edge, look=look), all_routes(look, pages))


def check_binding(binding: Binding) -> None:
    """Refuse to listen in a way that gives the house away.

    Raises:
        InvalidInput: no sign-in, or no TLS, off loopback; a port that is none; half of a TLS pair.
    """
    loopback = security.is_loopback(binding.host)
    if not 0 <= binding.port <= 65_535:
        raise InvalidInput("A port is a whole number from 0 to 65535.", where="port")
    if binding.auth == "none" and not loopback:
        raise InvalidInput(
            f"'--auth none' is refused on {binding.host}: everyone on the network could do everything. "
            "Leave it away, or bind to 127.0.0.1.",
            where="auth",
        )
    if (binding.certificate is None) != (binding.key is None):
        raise InvalidInput("TLS needs both --tls-cert and --tls-key.", where="tls")
    for file in (binding.certificate, binding.key):
        if file is not None and not file.is_file():
            raise InvalidInput(f"There is no TLS file at {str(file)!a}.", where="tls")
    if not loopback and not binding.tls and not binding.insecure:
        raise InvalidInput(
            f"{binding.host} is reached over a network: give --tls-cert and --tls-key, or say --insecure to let "
            "tokens cross it in the clear (the ledger records that).",
            where="host",
        )


class _Server(uvicorn.Server):
    """uvicorn's server that returns after a signal, so that what comes after it runs; loads its routes as it starts."""

    def __init__(self, config: uvicorn.Config, app: Opening, started: Callable[[], None]) -> None:
        super().__init__(config)
        self.failure: BaseException | None = None
        self._app = app
        self._on_started = started

    def stop(self) -> None:
        """Let running requests end, then return from `run`."""
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        loading = asyncio.get_running_loop().run_in_executor(None, self._app.open)
        loading.add_done_callback(self._loaded)
        self._on_started()

    def _loaded(self, loading: asyncio.Future[None]) -> None:
        """Stop when the routes could not be loaded: a server without its routes is no server."""
        self.failure = loading.exception()
        self.should_exit = self.should_exit or self.failure is not None

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.signal(number, self._stop) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self.force_exit = self.should_exit and number == signal.SIGINT
        self.should_exit = True


def _config(app: object, binding: Binding, limits: Limits) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=20,
        timeout_graceful_shutdown=10,
        limit_concurrency=limits.connections,
        ssl_certfile=binding.certificate,
        ssl_keyfile=binding.key,
    )


@contextlib.contextmanager
def _listen(binding: Binding) -> Iterator[socket.socket]:
    _allow_files()
    try:
        found = socket.getaddrinfo(binding.host, binding.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError):
        raise InvalidInput(f"{binding.host!a} is not a host of this machine.", where="host") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(address)
            listener.listen(512)
        except OSError as error:
            raise Unavailable(
                f"{binding.host} port {binding.port} cannot be listened on ({error.strerror}); "
                "stop what uses it, or choose another with --port.",
                where="port",
            ) from None
        yield listener


def _open_up(kit: Kit, binding: Binding, owner: str, port: int) -> Served:
    """Make the owner and their sign-in link, and say in the ledger how the server is reached."""
    address = f"{'https' if binding.tls else 'http'}://{_shown(binding)}:{port}"
    with db.write(kit.db) as tx:
        call = kit.call(owner)
        identity.ensure_owner(tx, call)
        link = identity.new_link(tx, call, owner).secret if binding.auth == "token" else None
        facts = {
            "address": address,
            "auth": binding.auth,
            "tls": binding.tls,
            "insecure": binding.insecure,
            "version": __version__,
        }
        ledger.append(tx, call, Event("server.started", "server:http", facts))
    warnings = []
    if binding.auth == "none":
        warnings.append("Nobody has to sign in: every program and person on this machine may do everything.")
    if not security.is_loopback(binding.host) and not binding.tls:
        warnings.append("Tokens and cookies cross the network without TLS: anyone on the way can use them.")
    sign_in = f"{address}/sign-in?code={link}" if link else None
    return Served(address, sign_in, binding.auth, tuple(warnings), stop=lambda: None)


def _shown(binding: Binding) -> str:
    """Return the host that a link names: bound to every address, it is the first name allowed, or this machine."""
    host = binding.host
    if host in ("0.0.0.0", "::"):  # noqa: S104  (compared, not bound)
        host = next(iter(binding.allow_hosts), "127.0.0.1")
    return f"[{host}]" if ":" in host else host


def _note_stop(kit: Kit, owner: str, log: Log) -> None:
    """Say in the ledger that the server stopped; a ledger that cannot be written does not keep it from stopping."""
    try:
        with db.write(kit.db) as tx:
            ledger.append(tx, kit.call(owner), Event("server.stopped", "server:http", {}))
    except KeepwellError as error:
        log.write("server.stop_unrecorded", said=error.message)


@contextlib.contextmanager
def _into(log: Log) -> Iterator[None]:
    """Let warnings of the HTTP server and of asyncio go to our log while it runs."""
    handler = IntoLog(log)
    loggers = [logging.getLogger(name) for name in ("uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(handler)
            logger.propagate = True


def _allow_files() -> None:
    """Raise the soft limit of open files towards the hard one: each connection is one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < OPEN_FILES:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, hard), hard))
