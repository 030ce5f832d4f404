"""A small TCP proxy before a database server, that cuts one connection at a chosen message.

A loop that raises n until nothing was cut has shown what a piece of work does when its connection is lost at any of its
messages: before the server saw it, or after the server acted on it and before the answer came.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

When = Literal["before", "after"]


class Proxy:
    """Forwards connections to a server's socket; see `cut`.

    Attributes:
        port: the port of 127.0.0.1 that it listens on.
        fired: whether the cut that was asked for has happened.
        message: the bytes at which it happened.
    """

    def __init__(self, target: Path) -> None:
        self._target = target
        self._lock = threading.Lock()
        self._left = 0
        self._when: When = "before"
        self._refusing = False
        self._open: set[socket.socket] = set()
        self.fired = False
        self.message = b""
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, nth: int, when: When) -> None:
        """Cut the connection of the n-th message from now on that a client sends, over all connections."""
        with self._lock:
            self._left, self._when, self.fired, self.message = nth, when, False, b""

    def cut_all(self) -> None:
        """Cut every open connection now, as a server that is restarted does."""
        with self._lock:
            self._left = 0
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def refuse(self, refusing: bool) -> None:
        """From now on, take no new connection, or take them again."""
        self._refusing = refusing

    def close(self) -> None:
        """Stop listening and cut what is open."""
        self._listener.close()
        self.cut_all()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self._refusing:
                client.close()
                continue
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.connect(str(self._target))
            with self._lock:
                self._open |= {client, server}
            threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        held = threading.Event()  # the answer to the message at which it is cut is not passed on
        back = threading.Thread(target=self._to_client, args=(server, client, held), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 20):
                verdict = self._count(data)
                if verdict == "before":
                    break
                if verdict == "after":
                    held.set()
                    server.sendall(data)
                    back.join(10)  # until the server has answered
                    break
                server.sendall(data)
        self._end(client, server)

    def _to_client(self, server: socket.socket, client: socket.socket, held: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(1 << 20):
                if held.is_set():
                    return
                client.sendall(data)
        if not held.is_set():
            self._end(client, server)

    def _count(self, data: bytes) -> When | None:
        with self._lock:
            if self._left == 0:
                return None
            self._left -= 1
            if self._left > 0:
                return None
            self.fired, self.message = True, data
            return self._when

    def _end(self, *sockets: socket.socket) -> None:
        with self._lock:
            self._open -= set(sockets)
        for one in sockets:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


@contextmanager
def proxy_before(target: Path) -> Iterator[Proxy]:
    """Run a proxy before a server's socket until the block ends."""
    proxy = Proxy(target)
    try:
        yield proxy
    finally:
        proxy.close()
