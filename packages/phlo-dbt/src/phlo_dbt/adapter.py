"""The dbt adapter ``phlo``: dbt-duckdb's, on a scratch database of the run's session.

Every run of dbt comes through here, whoever started it: Dagster's step, ``phlo dbt``, or dbt itself
at a prompt or in an editor.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dbt.adapters.base.meta import available
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.credentials import DuckDBCredentials
from dbt.adapters.duckdb.impl import DuckDBAdapter
from dbt.contracts.graph.manifest import Manifest
from dbt_common.exceptions import DbtRuntimeError
from phlo.config import get_settings
from phlo.errors import PhloError, is_exit_or_panic
from phlo.limits import QueryLimits

from phlo_dbt.dbt_private import connection_lock
from phlo_dbt.environment import load_project_environment
from phlo_dbt.folders import DATABASE
from phlo_dbt.running import current_session

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from dbt.adapters.contracts.connection import AdapterResponse, Connection

_SCRATCH_DATABASE = {
    "path": f"{DATABASE}.duckdb",
    "schema": "transform",
    "config_options": {"autoinstall_known_extensions": False, "autoload_known_extensions": False},
    "settings": {"TimeZone": "UTC"},
    "plugins": [{"module": "phlo_dbt.duckdb_plugin", "alias": "phlo"}],
}
_INSERT_OVERWRITE = "insert_overwrite"


class PhloCredentials(DuckDBCredentials):
    """A profile with ``type: phlo``; it needs no other setting."""

    @classmethod
    def __pre_deserialize__(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        """Fill in what phlo decides: where the scratch database is and how it is set up."""
        load_project_environment()
        return super().__pre_deserialize__({**_SCRATCH_DATABASE, **data})

    @property
    def type(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The name by which profiles name the adapter."""
        return "phlo"

    def _connection_keys(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # dbt parses anew when one of these changes: the scratch file does with every run.
        return ("database", "schema")


class PhloConnectionManager(DuckDBConnectionManager):
    """Opens the scratch database of the session in progress."""

    TYPE = "phlo"

    @classmethod
    def open(cls, connection: Connection) -> Connection:
        """Prepare the session, which is done once, and connect."""
        session, credentials = current_session(), cast("Any", connection.credentials)
        if session is None:  # `dbt debug` only looks whether DuckDB answers
            credentials.path = ":memory:"
            return DuckDBConnectionManager.open(connection)
        with connection_lock():
            try:
                session.start()
            except PhloError as exc:
                raise DbtRuntimeError(str(exc)) from exc
            credentials.path = str(session.folder / f"{DATABASE}.duckdb")
            memory_limit = f"{QueryLimits.of(get_settings()).memory_mb}MiB"
            credentials.settings = {"memory_limit": memory_limit, **credentials.settings}
            return DuckDBConnectionManager.open(connection)

    @contextmanager
    def exception_handler(self, sql: str, connection_name: str = "master") -> Iterator[None]:
        """Say of a table that is not loaded yet which command loads it."""
        session = current_session()
        try:
            with super().exception_handler(sql, connection_name):
                yield
        except DbtRuntimeError as exc:
            message = session.explain(str(exc)) if session is not None else str(exc)
            if message == str(exc):
                raise
            raise DbtRuntimeError(message) from exc

    @classmethod
    def close_all_connections(cls) -> None:
        """Forget the scratch database."""
        DuckDBConnectionManager.close_all_connections()


class PhloAdapter(DuckDBAdapter):
    """dbt-duckdb's adapter, whose relations land in Iceberg."""

    ConnectionManager = PhloConnectionManager

    def set_macro_resolver(self, macro_resolver: Any) -> None:
        """Take the run's manifest, which dbt hands over so; open a session if nobody has."""
        from phlo_dbt.own_session import open_own_session

        super().set_macro_resolver(macro_resolver)
        if not isinstance(macro_resolver, Manifest):  # macros alone: nothing will be built
            return
        config: Any = self.config
        session = current_session() or open_own_session(Path(config.project_root))
        session.take(macro_resolver, config)

    def submit_python_job(
        self, parsed_model: dict[str, Any], compiled_code: str
    ) -> AdapterResponse:
        """Run a Python model; dbt would wait for ever for one that exits or panics."""
        try:
            return super().submit_python_job(parsed_model, compiled_code)
        except BaseException as exc:
            if not is_exit_or_panic(exc):
                raise
            raise DbtRuntimeError(f"Python model failed: {type(exc).__name__}: {exc}") from exc

    @available
    def valid_incremental_strategies(self) -> Sequence[str]:
        """Return dbt-duckdb's strategies, and ``insert_overwrite``."""
        return [*super().valid_incremental_strategies(), _INSERT_OVERWRITE]
