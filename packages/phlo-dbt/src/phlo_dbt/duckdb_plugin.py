"""The plugin that dbt-duckdb loads: tables of the lake as views, models into stages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb
from dbt.adapters.duckdb.plugins import BasePlugin
from dbt_common.exceptions import DbtRuntimeError
from phlo.errors import PhloError

from phlo_dbt.running import current_session
from phlo_dbt.session import quoted_relation

if TYPE_CHECKING:
    from dbt.adapters.duckdb.utils import TargetConfig


class Plugin(BasePlugin):
    """Hands dbt's calls to the session of the run; dbt-duckdb finds it by this name."""

    _connection: duckdb.DuckDBPyConnection | None = None

    def initialize(self, plugin_config: dict[str, Any]) -> None:
        """Find the session of the run in progress."""
        self._session = current_session()

    def configure_connection(self, conn: duckdb.DuckDBPyConnection) -> None:
        """Make the lake readable in a new scratch database."""
        self._connection = conn
        if self._session is not None:
            self._session.connect(conn)

    def store(self, target_config: TargetConfig) -> None:
        """Stage the rows of a model (called by the materializations)."""
        relation, config = target_config.relation, target_config.config
        if self._session is None or self._connection is None:
            raise DbtRuntimeError("There is no session of phlo to land the model in.")
        name = quoted_relation(str(relation.schema), str(relation.identifier))
        cursor = self._connection.cursor()
        try:
            self._session.land(
                cursor,
                name,
                config["unique_id"],
                full_refresh=bool(config["full_refresh"]),
                is_built=bool(config["is_built"]),
            )
        except (PhloError, duckdb.Error) as exc:
            raise DbtRuntimeError(str(exc)) from exc
        finally:
            cursor.close()
