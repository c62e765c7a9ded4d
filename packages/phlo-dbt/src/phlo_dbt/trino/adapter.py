"""The dbt adapter ``phlo_trino``: dbt-trino's, in the work catalog of the run's session.

Materializations are dbt-trino's own. What differs is where statements go, and that none of them
deletes files which main needs (see :mod:`phlo_dbt.trino.statements`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from dbt.adapters.trino.connections import (
    ConnectionWrapper,
    TrinoConnectionManager,
    TrinoNoneCredentials,
)
from dbt.adapters.trino.impl import TrinoAdapter
from dbt.contracts.graph.manifest import Manifest
from dbt_common.exceptions import DbtRuntimeError
from dbt_common.helper_types import Port
from phlo.errors import PhloError

from phlo_dbt.environment import load_project_environment
from phlo_dbt.folders import DATABASE, TRINO_ADAPTER
from phlo_dbt.running import current_session
from phlo_dbt.trino.statements import dropped_table, refuse_deleting_files, refuse_other_catalogs
from phlo_dbt.trino_session import TrinoSession

if TYPE_CHECKING:
    from dbt.adapters.contracts.connection import Connection


@dataclass
class PhloTrinoCredentials(TrinoNoneCredentials):
    """A profile with ``type: phlo_trino``; where Trino is, ``PHLO_TRINO_*`` says."""

    host: str = "PHLO_TRINO_HOST"
    port: Port = Port(0)
    user: str = "phlo"
    database: str = DATABASE
    schema: str = "transform"

    @classmethod
    def __pre_deserialize__(cls, data: dict[Any, Any]) -> dict[Any, Any]:
        """Set the variables of the project's ``.env``."""
        load_project_environment()
        return super().__pre_deserialize__(data)

    @property
    def type(self) -> str:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The name by which profiles name the adapter."""
        return TRINO_ADAPTER

    @property
    def unique_field(self) -> str:
        """What dbt's statistics would tell runs apart by."""
        return TRINO_ADAPTER

    def _connection_keys(self) -> tuple[str, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        # dbt parses anew when one of these changes; dbt-trino's macros read them as `target`.
        return ("database", "schema", "prepared_statements_enabled")


class _GuardedConnection(ConnectionWrapper):
    """Sends statements, but those that would change main, or delete files which it needs."""

    def __init__(self, session: TrinoSession) -> None:
        super().__init__(session.connect(), prepared_statements_enabled=True)
        self._session = session

    def execute(self, sql: str, bindings: Any = None) -> Any:
        """Run a statement; a table that shares its files is dropped in the catalog alone."""
        try:
            refuse_other_catalogs(sql, self._session.catalog)
            refuse_deleting_files(sql)
            table = dropped_table(sql)
            is_dropped = table is not None and self._session.drop(table)
        except PhloError as exc:
            raise DbtRuntimeError(str(exc)) from exc
        return super().execute("SELECT 1" if is_dropped else sql, bindings)


class PhloTrinoConnectionManager(TrinoConnectionManager):
    """Opens connections to the work catalog of the session in progress."""

    TYPE = TRINO_ADAPTER

    @classmethod
    def open(cls, connection: Connection) -> Connection:
        """Connect, in the time zone and with the login of phlo's own queries."""
        if connection.state == "open":
            return connection
        session = current_session()
        if not isinstance(session, TrinoSession) or not session.is_started:
            raise DbtRuntimeError("There is no work catalog for this command of dbt.")
        connection.handle = _GuardedConnection(session)
        connection.state = cast("Any", "open")
        return connection


class PhloTrinoAdapter(TrinoAdapter):
    """dbt-trino's adapter, whose relations stand in a branch of the lake until it is published."""

    ConnectionManager = PhloTrinoConnectionManager

    @classmethod
    def get_adapter_run_info(cls, config: Any) -> Any:
        """Describe a node's run: dbt finds the version by the name of the class."""
        return TrinoAdapter.get_adapter_run_info(config)

    def set_macro_resolver(self, macro_resolver: Any) -> None:
        """Take the run's manifest, which dbt hands over so; open a session if nobody has."""
        from phlo_dbt.own_session import open_own_session

        super().set_macro_resolver(macro_resolver)
        if not isinstance(macro_resolver, Manifest):  # macros alone: nothing will be built
            return
        config: Any = self.config
        session = current_session() or open_own_session(Path(config.project_root), TrinoSession)
        try:
            session.take(macro_resolver, config)
        except PhloError as exc:
            raise DbtRuntimeError(str(exc)) from exc
