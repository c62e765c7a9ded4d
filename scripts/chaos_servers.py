"""The servers of `make test-chaos`, and what happens to them."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from phlo_publishing.server import EmbeddedServer
from phlo_testing.database_proxy import LossyDatabaseProxy
from phlo_testing.object_store import ACCESS_KEY, SECRET_KEY, run_object_store
from phlo_testing.ports import free_ports
from phlo_testing.proxy import FaultyProxy, faulty_proxy

if TYPE_CHECKING:
    import random
    from collections import Counter
    from collections.abc import Iterator
    from pathlib import Path
    from threading import Event


class Server:
    """A PostgreSQL server that is stopped at once and started again."""

    def __init__(self, folder: Path, database: str) -> None:
        self._server = EmbeddedServer(folder, port=free_ports(1)[0])
        self._database = database
        self.address = self._server.start(database)
        self._pid_file = folder / "data" / "postmaster.pid"

    @property
    def password(self) -> str:
        """The password of its only role."""
        assert self.address.password is not None
        return self.address.password.get_secret_value()

    def restart(self, seconds: float) -> None:
        """Stop the server without letting a session end, and start it after some seconds."""
        os.kill(int(self._pid_file.read_text().split()[0]), signal.SIGQUIT)
        while self._server.is_running():
            time.sleep(0.1)
        time.sleep(seconds)
        self._server.start(self._database)

    def close(self) -> None:
        """Stop it."""
        self._server.stop()


class CatalogServer(Server):
    """The same with a catalog, behind a proxy that loses answers to COMMIT."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "lake")
        self.proxy = LossyDatabaseProxy(self.address.host, self.address.port)

    @property
    def uri(self) -> str:
        """The catalog's address, by the proxy."""
        place = f"127.0.0.1:{self.proxy.port}/lake?sslmode=disable&gssencmode=disable"
        return f"postgresql+psycopg://{self.address.user}:{self.password}@{place}"

    def close(self) -> None:
        """Stop both."""
        self.proxy.close()
        super().close()


@contextmanager
def marts_server(folder: Path) -> Iterator[Server]:
    """Run the server that the project publishes to, while the block runs."""
    with ExitStack() as stack:
        server = Server(folder, "marts")
        stack.callback(server.close)
        os.environ |= {
            "PHLO_POSTGRES_HOST": server.address.host,
            "PHLO_POSTGRES_PORT": str(server.address.port),
            "PHLO_POSTGRES_DATABASE": "marts",
            "PHLO_POSTGRES_USER": server.address.user,
            "PHLO_POSTGRES_PASSWORD": server.password,
        }
        yield server


@contextmanager
def catalog_server(folder: Path) -> Iterator[CatalogServer]:
    """Run the server of the project's catalog, while the block runs."""
    with ExitStack() as stack:
        server = CatalogServer(folder)
        stack.callback(server.close)
        os.environ["PHLO_ICEBERG_CATALOG_URI"] = server.uri
        yield server


@contextmanager
def store_proxy(folder: Path) -> Iterator[FaultyProxy]:
    """Run an object store with the project's files, and the proxy that phlo knows it by."""
    folder.mkdir()
    with (
        contextmanager(run_object_store)(folder) as store,
        faulty_proxy(store.s3_endpoint) as proxy,
    ):
        os.environ |= {
            "PHLO_ICEBERG_WAREHOUSE": "s3://phlo/chaos",
            "PHLO_ICEBERG_S3_ENDPOINT": proxy.url,
            "PHLO_ICEBERG_S3_REGION": "us-east-1",
            "PHLO_ICEBERG_S3_ACCESS_KEY_ID": ACCESS_KEY,
            "PHLO_ICEBERG_S3_SECRET_ACCESS_KEY": SECRET_KEY,
        }
        yield proxy


def shake_server(
    server: Server, chance: random.Random, is_over: Event, counts: Counter[str]
) -> None:
    """Restart a server again and again, or lose an answer of a catalog's."""
    while not is_over.wait(chance.uniform(5, 20)):
        if isinstance(server, CatalogServer) and chance.random() < 0.6:
            server.proxy.lose_next_commit(chance.choice(["committed", "not committed"]))
            continue
        server.restart(chance.uniform(0, 4))
        counts["restarts of PostgreSQL"] += 1
    if isinstance(server, CatalogServer):
        counts["lost answers"] = server.proxy.lost


def shake_store(
    proxy: FaultyProxy, chance: random.Random, is_over: Event, counts: Counter[str]
) -> None:
    """Answer 503 in place of an object store, cut connections, or be slow, again and again."""
    while not is_over.wait(chance.uniform(0.2, 3)):
        if chance.random() < 0.2:
            proxy.delay_seconds = chance.uniform(0.1, 0.5)
            is_over.wait(chance.uniform(0.5, 3))
            proxy.delay_seconds = 0.0
            counts["slow times of S3"] += 1
            continue
        request = chance.choice(["PUT /", "GET /", "HEAD /", "POST /", "DELETE /"])
        status = chance.choice([503, 500, None])
        proxy.lose_next(request, status=status, is_handed_on=chance.random() < 0.5)
    counts["lost answers of S3"] = len(proxy.lost)
    proxy.forget_loss()
