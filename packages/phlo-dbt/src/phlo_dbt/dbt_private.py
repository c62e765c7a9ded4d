"""What phlo-dbt uses of dbt and dagster-dbt that is no public function of theirs.

Every function here has a test that says what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

import dataclasses
import pickle
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.adapters.duckdb.environments.local import DuckDBCursorWrapper
from dbt_common.context import get_invocation_context
from phlo.limits import TimeLimit

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from contextlib import AbstractContextManager

    from dbt.contracts.graph.manifest import Manifest
    from dbt.contracts.graph.nodes import SourceDefinition


def copy_manifest(manifest: Manifest) -> Manifest:
    """Copy a manifest, for a run of dbt to write into.

    dbt's own ``Manifest.deepcopy`` fails where a node is disabled, and a pickled manifest has its
    fixtures and lookups in one another's places (dbt-core 1.11). Lookups are made when needed.
    """
    names = [f.name for f in dataclasses.fields(manifest) if not f.name.startswith("_")]
    parts = {name: getattr(manifest, name) for name in names}
    copy = type(manifest)(**pickle.loads(pickle.dumps(parts)))
    copy.build_flat_graph()
    return copy


def freeze_resource(source: SourceDefinition) -> None:
    """Have ``manifest.json`` show a source as it is now, whatever becomes of it.

    ``state:modified`` compares the names in that file with those that dbt parses. dbt makes the
    file of what ``to_resource`` returns (dbt-core 1.11).
    """
    parsed = source.to_resource()
    vars(source)["to_resource"] = lambda: parsed


def extend_environment(variables: Mapping[str, str]) -> None:
    """Let ``env_var()`` know variables that were set after the command in progress began.

    dbt copies the environment when a command begins, before it loads the adapter. Since 1.8.
    """
    context = get_invocation_context()
    context._env = {**variables, **context.env}


def connection_lock() -> AbstractContextManager[Any]:
    """Return the lock under which dbt-duckdb opens its one connection.

    What must happen just before, once, has no hook of dbt-duckdb (dbt-duckdb 1.11).
    """
    return DuckDBConnectionManager._LOCK


@contextmanager
def limit_statements(seconds: float | None) -> Iterator[None]:
    """Stop every statement of dbt that takes longer, while the block runs.

    dbt-duckdb has no setting for it, and gives its cursor to nobody (dbt-duckdb 1.11).

    Args:
        seconds: ``None`` for no limit.
    """
    execute = DuckDBCursorWrapper.execute

    def execute_in_time(self: DuckDBCursorWrapper, sql: str, bindings: Any = None) -> Any:
        with TimeLimit(self._cursor, seconds).counting():
            return execute(self, sql, bindings)

    DuckDBCursorWrapper.execute = execute_in_time
    try:
        yield
    finally:
        DuckDBCursorWrapper.execute = execute
