"""A proxy before a real PostgreSQL that loses the server's answer to COMMIT."""

from __future__ import annotations

import socket
import threading
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator

Loss = Literal["committed", "not committed"]


_COMMIT = b"COMMIT\x00"
"""The statement as the protocol ends it: BEGIN may name the level READ COMMITTED."""


class LossyDatabaseProxy:
    """Hands bytes on unchanged, until a client's COMMIT is to be lost.

    Connections through it must be neither encrypted nor compressed
    (``sslmode=disable&gssencmode=disable``).

    Args:
        host: Of the server.
        port: Of the server.

    Attributes:
        port: Where it listens on 127.0.0.1.
        lost: How many answers were lost so far.
    """

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._loss: Loss | None = None
        self._is_down, self._then_down = False, False
        self._sockets: list[socket.socket] = []
        self._cut_off: set[socket.socket] = set()
        self.port, self.lost = self._listener.getsockname()[1], 0
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_next_commit(self, loss: Loss, *, then_down: bool = False) -> None:
        """Cut the client off at its next COMMIT.

        Args:
            loss: Whether the server gets the COMMIT before the client is cut off.
            then_down: Whether new connections are refused from then on.
        """
        self._loss, self._then_down = loss, then_down

    def restore(self) -> None:
        """Accept connections again."""
        self._is_down = False

    def close(self) -> None:
        """Stop listening, and close all connections."""
        for one in (self._listener, *self._sockets):
            _close(one)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = None if self._is_down else self._connect()
            if server is None:
                _close(client)
                continue
            self._sockets += [client, server]
            for pump in (self._hand_on_requests, self._hand_on_answers):
                threading.Thread(target=pump, args=(client, server), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        """Connect to the server; ``None`` while it is down."""
        try:
            return socket.create_connection(self._server)
        except OSError:
            return None

    def _hand_on_requests(self, client: socket.socket, server: socket.socket) -> None:
        for data in _received(client):
            if self._loss is not None and _COMMIT in data:
                self._lose(client, server, data)
                return
            with suppress(OSError):  # the server closed its end: the client is told by its answers
                server.sendall(data)
        _close(server)

    def _lose(self, client: socket.socket, server: socket.socket, data: bytes) -> None:
        loss, self._loss, self._is_down = self._loss, None, self._then_down
        self._cut_off.add(client)  # before the server can answer
        self.lost += 1
        if loss == "committed":
            server.sendall(data)
        _close(client)
        if loss == "not committed":
            _close(server)

    def _hand_on_answers(self, client: socket.socket, server: socket.socket) -> None:
        for data in _received(server):
            if client in self._cut_off:
                return  # the server goes on
            try:
                client.sendall(data)
            except OSError:
                return
        _close(client)


@contextmanager
def lossy_database_proxy(host: str, port: int) -> Iterator[LossyDatabaseProxy]:
    """Run a proxy while the block runs."""
    proxy = LossyDatabaseProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()


def _received(one: socket.socket) -> Iterator[bytes]:
    try:
        while data := one.recv(65536):
            yield data
    except OSError:
        return


def _close(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
