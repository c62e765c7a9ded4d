"""Put new tables in the place of the old ones: some milliseconds in which readers wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from phlo.sql import Identifier, Sql, qualified
from psycopg import errors

from phlo_publishing.postgresql.dependents import (
    Dependents,
    add_foreign_keys,
    comment_on_keys,
    drop_old_keys,
    find_materialized_views,
    lock_views,
    own_sequences,
    read_dependents,
    redefine_views,
    release_sequences,
)
from phlo_publishing.postgresql.locks import LockBudget, set_lock_timeout
from phlo_publishing.postgresql.records import published_docs
from phlo_publishing.postgresql.relations import (
    STAGING_SCHEMA,
    Replacement,
    resolve_names_in,
    rows,
    run,
    schemas_of,
)
from phlo_publishing.postgresql.rights import (
    Rights,
    create_policies,
    grant_rights,
    read_rights,
    without_comments,
)
from phlo_publishing.postgresql.structure import Structure, move_statistics

if TYPE_CHECKING:
    from collections.abc import Sequence

    from psycopg import Connection

    from phlo_publishing.postgresql.loaded import LoadedTable


class Swap:
    """Replaces tables, and the materialized views that read them.

    Args:
        connection: In the transaction of the publish.
        loaded: The new tables.
        views: Materialized views and their next versions, in an order in which they can be built.
    """

    def __init__(
        self,
        connection: Connection[Any],
        loaded: Sequence[LoadedTable],
        views: Sequence[tuple[Replacement, Structure]],
    ) -> None:
        self._connection, self._loaded, self._views = connection, loaded, views
        self._tables = [Replacement(t.old, t.new) for t in loaded if t.old is not None]
        self._pairs = [*self._tables, *(pair for pair, _ in views)]
        self._olds = [pair.old for pair in self._pairs]
        self._schemas = schemas_of(self._olds)
        self._dependents = Dependents([], [], [], [])

    def held_oids(self) -> list[int]:
        """List the relations that the swap locks."""
        dependents = self._dependents
        outside = [key.table_oid for key in dependents.foreign_keys]
        return [*(old.oid for old in self._olds), *(v.oid for v in dependents.views), *outside]

    def attempt(self, budget_seconds: float) -> None:
        """Swap, unless a reader holds one of the relations.

        Args:
            budget_seconds: How long to wait for all locks together.

        Raises:
            LockNotAvailable: A reader holds one; the caller undoes what was done.
        """
        set_lock_timeout(self._connection, budget_seconds)
        dependents, rights = self._read()
        self._dependents = dependents
        if dependents.foreign_keys:
            self._probe_locks(budget_seconds)
        resolve_names_in(self._connection, STAGING_SCHEMA, *self._schemas)
        key_names = add_foreign_keys(self._connection, dependents, self._tables)
        self._lock(LockBudget(self._connection, budget_seconds), dependents)
        if self._read()[0] != dependents:
            raise errors.LockNotAvailable("Something was hung on a table in this very moment.")
        resolve_names_in(self._connection, STAGING_SCHEMA, *self._schemas)
        redefine_views(self._connection, dependents)
        for pair, right in zip(self._pairs, rights, strict=True):
            create_policies(self._connection, right, pair.new)
        self._drop_old(dependents, key_names)
        self._move_new()
        self._hand_over_rights(dependents, rights)

    def _read(self) -> tuple[Dependents, list[Rights]]:
        resolve_names_in(self._connection, *self._schemas)
        dependents = read_dependents(self._connection, self._olds)
        docs = {table.new.oid: published_docs(table.record) for table in self._loaded}
        rights = [
            without_comments(read_rights(self._connection, pair.old), docs.get(pair.new.oid, {}))
            for pair in self._pairs
        ]
        tables = [pair.old for pair in self._tables]
        if find_materialized_views(self._connection, tables) != [p.old for p, _ in self._views]:
            raise errors.ObjectInUse("Materialized views on a table changed while it was loaded.")
        return dependents, rights

    def _probe_locks(self, budget_seconds: float) -> None:
        """Lock and let go: foreign keys need not be checked while a reader is in the way."""
        with self._connection.transaction():
            self._lock(LockBudget(self._connection, budget_seconds), self._dependents)
            raise psycopg.Rollback

    def _lock(self, budget: LockBudget, dependents: Dependents) -> None:
        connection = self._connection
        for view in dependents.views:
            budget.apply()
            lock_views(connection, [view])
        for pair, _ in self._views:
            budget.apply()
            (owner,) = rows(connection, _OWNER, pair.old.oid)
            template = "ALTER MATERIALIZED VIEW {v} OWNER TO {o}"
            run(connection, template, v=pair.old.sql, o=Identifier(owner.name))
        outside = {key.table_oid: key for key in dependents.foreign_keys if key.is_outside}
        tables = [qualified(key.schema, key.table) for key in outside.values()]
        for table in [*(pair.old.sql for pair in self._tables), *tables]:
            budget.apply()
            run(connection, "LOCK TABLE ONLY {t} IN ACCESS EXCLUSIVE MODE", t=table)
        budget.apply()

    def _drop_old(self, dependents: Dependents, key_names: dict[int, str]) -> None:
        connection = self._connection
        drop_old_keys(connection, dependents, key_names)
        release_sequences(connection, dependents)
        for pair, _ in reversed(self._views):
            run(connection, "DROP MATERIALIZED VIEW {v}", v=pair.old.sql)
        if self._tables:
            run(connection, "DROP TABLE {t}", t=[pair.old.sql for pair in self._tables])

    def _move_new(self) -> None:
        connection = self._connection
        moves = [(table.new, table.mart.schema, "TABLE") for table in self._loaded]
        moves += [(p.new, p.old.schema, "MATERIALIZED VIEW") for p, _ in self._views]
        for new, schema, kind in moves:
            template = "ALTER {k} {t} SET SCHEMA {s}"
            run(connection, template, k=Sql(kind), t=new.sql, s=Identifier(schema))
        structures = [table.structure for table in self._loaded if table.structure]
        for structure in [*structures, *(structure for _, structure in self._views)]:
            move_statistics(connection, structure)

    def _hand_over_rights(self, dependents: Dependents, rights: Sequence[Rights]) -> None:
        connection = self._connection
        for pair, right in zip(self._pairs, rights, strict=True):
            grant_rights(connection, right, pair.new.moved_to(pair.old.schema))
        own_sequences(connection, dependents)
        comment_on_keys(connection, dependents)


_OWNER = "SELECT pg_get_userbyid(relowner) AS name FROM pg_class WHERE oid = %s"
