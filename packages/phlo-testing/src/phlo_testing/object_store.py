"""A real S3 service with an Iceberg REST catalog, as one local process: SeaweedFS."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from phlo_testing.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ACCESS_KEY, SECRET_KEY = "phlo-test", "phlo-test-secret"
_PORTS = (
    "master.port",
    "master.port.grpc",
    "volume.port",
    "volume.port.grpc",
    "filer.port",
    "filer.port.grpc",
    "s3.port",
    "s3.port.grpc",
    "s3.port.iceberg",
    "admin.port",
    "admin.port.grpc",
)
_OFF = (
    "-s3.port.lance=0",
    "-admin.ui=false",
    "-webdav=false",
    "-master.telemetry=false",
    "-volume.max=0",
    "-master.volumeSizeLimitMB=64",
)


@dataclass(frozen=True)
class ObjectStore:
    """Where the service listens.

    Attributes:
        s3_endpoint: Its S3 API; the bucket ``phlo`` is there.
        catalog_uri: Its Iceberg REST catalog; the table bucket ``lake`` is there.
    """

    s3_endpoint: str
    catalog_uri: str

    @property
    def s3_properties(self) -> dict[str, str]:
        """Pyiceberg's properties for files on it."""
        return {
            "s3.endpoint": self.s3_endpoint,
            "s3.access-key-id": ACCESS_KEY,
            "s3.secret-access-key": SECRET_KEY,
            "s3.region": "us-east-1",
        }

    @property
    def rest_properties(self) -> dict[str, str]:
        """Pyiceberg's properties of its REST catalog."""
        return {
            "type": "rest",
            "uri": self.catalog_uri,
            "warehouse": "s3://lake",
            "prefix": "lake",
            "oauth2-server-uri": f"{self.catalog_uri}/v1/oauth/tokens",
            "credential": f"{ACCESS_KEY}:{SECRET_KEY}",
            **self.s3_properties,
        }


def run_object_store(folder: Path) -> Iterator[ObjectStore]:
    """Start the service in a folder, yield where it listens, stop it.

    Needs ``pip install "phlo-testing[s3]"``.
    """
    ports: dict[str, int] = dict(zip(_PORTS, free_ports(len(_PORTS)), strict=True))
    store = ObjectStore(
        f"http://127.0.0.1:{ports['s3.port']}", f"http://127.0.0.1:{ports['s3.port.iceberg']}"
    )
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(_command(folder, ports), stdout=log, stderr=log, cwd=folder)
        try:
            _wait_for(f"{store.s3_endpoint}/healthz", process)
            _wait_for(f"{store.catalog_uri}/v1/config", process)
            _wait_for_table_bucket(store)
            yield store
        finally:
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:  # a busy machine; nothing of it is kept
                process.kill()
                process.wait()


def _wait_for_table_bucket(store: ObjectStore) -> None:
    """Wait for the catalog's bucket: the service answers a moment before it is there."""
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchNamespaceError, RESTError

    for _ in range(150):
        try:
            load_catalog("lake", **store.rest_properties).list_namespaces()
        except (NoSuchNamespaceError, RESTError):
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{store.catalog_uri} has no table bucket")


def _command(folder: Path, ports: Mapping[str, int]) -> list[str]:
    program = Path(sys.executable).parent / "weed"
    config = folder / "s3.json"
    identity = {
        "name": "phlo",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    config.write_text(json.dumps({"identities": [identity]}))
    return [
        str(program) if program.exists() else shutil.which("weed") or "weed",
        "-logtostderr=true",
        "mini",
        f"-dir={folder}",
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        *(f"-{name}={port}" for name, port in ports.items()),
        *_OFF,
        f"-s3.config={config}",
        "-bucket=phlo",
        "-tableBucket=lake",
    ]


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(300):
        if process.poll() is not None:
            raise RuntimeError(f"weed ended with exit code {process.returncode}")
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except urllib.error.HTTPError as answer:
            if answer.code < 500:
                return
        except OSError:
            pass
        time.sleep(0.1)
    raise TimeoutError(f"{url} does not answer")
