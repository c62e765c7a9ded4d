"""A proxy before a real HTTP service that fails from a chosen request on."""

from __future__ import annotations

import http.client
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import urlparse

if TYPE_CHECKING:
    from collections.abc import Iterator

_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


@dataclass(frozen=True)
class _Loss:
    request: str
    status: int | None
    is_handed_on: bool


class FaultyProxy(ThreadingHTTPServer):
    """Hands requests on unchanged, until it refuses all that follow.

    Args:
        upstream: Address of the service. The client's ``Host`` is kept, so that signatures hold.

    Attributes:
        url: Where it listens.
        requests: The requests seen, such as ``GET /bucket/key``.
        fail_from: Number of the first request that is refused, counted from 1; ``None``: none is.
        lost: The requests whose answers were lost (see :meth:`lose_next`).
        delay_seconds: How long each request waits before it is handed on.
    """

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.upstream = urlparse(upstream)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self._lock = threading.Lock()
        self.delay_seconds = 0.0
        self.reset(None)

    def reset(self, fail_from: int | None) -> None:
        """Count anew, and refuse from another request on."""
        with self._lock:
            self.requests: list[str] = []
            self.fail_from = fail_from
            self.lost: list[str] = []
            self._loss: _Loss | None = None

    def lose_next(self, request: str, *, status: int | None, is_handed_on: bool) -> None:
        """Lose the answer of the next request that begins so.

        Args:
            request: Such as ``POST /iceberg/v1/transactions``.
            status: What the client gets in its place; ``None`` cuts it off.
            is_handed_on: Whether the service gets the request.
        """
        with self._lock:
            self._loss = _Loss(request, status, is_handed_on)

    def forget_loss(self) -> None:
        """Lose no answer any more."""
        with self._lock:
            self._loss = None

    def loss_of(self, request: str) -> _Loss | None:
        """Return how the answer to this request is lost, ``None`` where it is not."""
        with self._lock:
            loss = self._loss
            if loss is None or not request.startswith(loss.request):
                return None
            self._loss = None
            self.lost.append(request)
            return loss

    def admits(self, request: str) -> bool:
        """Note a request; whether it is to be handed on."""
        with self._lock:
            self.requests.append(request)
            return self.fail_from is None or len(self.requests) < self.fail_from


@contextmanager
def faulty_proxy(upstream: str) -> Iterator[FaultyProxy]:
    """Run a proxy while the block runs."""
    proxy = FaultyProxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever, daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: FaultyProxy  # pyright: ignore[reportIncompatibleVariableOverride]

    def _handle(self) -> None:
        body = self._body()
        time.sleep(self.server.delay_seconds)
        loss = self.server.loss_of(f"{self.command} {self.path}")
        if loss is not None:
            self._lose(loss, body)
        elif self.server.admits(f"{self.command} {self.path}"):
            self._hand_on(body)
        else:
            # Clients do not try a refusal again, as they would a failure of the server.
            self._answer(403, {}, b"")

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _handle  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks: list[bytes] = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass  # trailers
        return b"".join(chunks)

    def _lose(self, loss: _Loss, body: bytes) -> None:
        if loss.is_handed_on:
            self._ask(body)
        if loss.status is None:
            self.close_connection = True
            self.connection.close()
        else:
            self._answer(loss.status, {}, b"")

    def _hand_on(self, body: bytes) -> None:
        status, headers, content = self._ask(body)
        self._answer(status, headers, content)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        upstream = self.server.upstream
        connection = http.client.HTTPConnection(str(upstream.hostname), upstream.port, timeout=60)
        headers = {k: v for k, v in self.headers.items() if k.lower() not in _HOP_BY_HOP}
        connection.request(self.command, self.path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, dict(answer.getheaders()), content

    def _answer(self, status: int, headers: dict[str, str], content: bytes) -> None:
        lengths = {k.lower(): v for k, v in headers.items()}
        length = lengths.get("content-length", "0") if self.command == "HEAD" else len(content)
        self.send_response(status)
        for name, value in headers.items():
            if name.lower() not in _HOP_BY_HOP:
                self.send_header(name, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - http.server's name
        """Say nothing."""
