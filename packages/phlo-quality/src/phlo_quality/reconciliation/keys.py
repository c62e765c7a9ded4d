"""The same keys on both sides, and the same rows under them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Unpack

from phlo.names import is_metadata_column
from phlo.sql import Identifier, Sql, sql

from phlo_quality.arguments import column_names, refuse
from phlo_quality.reconciliation.base import (
    ReconciliationOptions,
    TwoTableCheck,
    count_differences,
    differing_rows,
)
from phlo_quality.results import QualityCheckResult

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo_quality.reconciliation.queries import Side
    from phlo_quality.rows import Reader

_MISSING_IN_TARGET = Sql("target_rows = 0")
_MISSING_IN_SOURCE = Sql("source_rows = 0")


class KeyParityCheck(TwoTableCheck):
    """Both tables have the same keys; how often a key occurs does not matter.

    NULL equals NULL. The tolerances are about the number of keys that one side lacks.

    Args:
        source_table: Table to compare with, ``namespace.table``.
        key_columns: Columns of both tables that form the key.
        **options: See :class:`ReconciliationOptions`.

    Source: developer guide, "Reconciliation Checks (Cross-table)".
    """

    def __init__(
        self,
        source_table: str,
        key_columns: Sequence[str],
        **options: Unpack[ReconciliationOptions],
    ) -> None:
        super().__init__(source_table, options)
        self.key_columns = column_names(self, "key_columns", key_columns)

    @property
    def label(self) -> str:
        """The key."""
        return "_".join(self.key_columns)

    def compare(self, source: Side, target: Side, reader: Reader) -> QualityCheckResult:
        """Pair the keys of both sides, count those that differ, and show some."""
        for side in (source, target):
            side.rows.require(self.key_columns)
        query, differs = self._differences(source, target, reader)
        counts = count_differences(
            reader,
            query,
            {
                "source_keys": Sql("source_rows > 0"),
                "missing_in_target": _MISSING_IN_TARGET,
                "missing_in_source": _MISSING_IN_SOURCE,
                "differing": differs,
            },
        )
        failed = counts["differing"]
        differing = differing_rows(query, differs, self.key_columns)
        return QualityCheckResult(
            passed=self.tolerance.allows(failed, counts["source_keys"]),
            message=f"{failed:,} of {counts['source_keys']:,} keys differ: "
            f"{counts['missing_in_target']:,} are missing in {target.rows.table}, "
            f"{counts['missing_in_source']:,} in {source.rows.table}; "
            f"allowed: {self.tolerance}.",
            row_count=counts["source_rows"] + counts["target_rows"],
            failed_count=failed,
            columns=self.key_columns,
            metrics={**self.judged_sides(source, target), **counts},
            sample=reader.sample(differing) if failed else (),
            sql=differing if failed else None,
        )

    def _differences(self, source: Side, target: Side, reader: Reader) -> tuple[Sql, Sql]:
        """Return the paired keys, and the condition that one differs."""
        from phlo_quality.reconciliation.queries import paired

        query = paired(source, target, self.key_columns, ())
        return query, sql("{a} OR {b}", a=_MISSING_IN_TARGET, b=_MISSING_IN_SOURCE)


class ChecksumReconciliationCheck(KeyParityCheck):
    """Both tables have the same rows, told by a hash of each row's content.

    Rows are hashed over one canonical text in which equal values of different width, scale or
    zone are equal, NULL differs from the empty text, 0.0 equals -0.0 and NaN equals NaN. A key
    that occurs several times agrees when both sides have the same rows equally often.

    Args:
        source_table: Table to compare with, ``namespace.table``.
        target_table: Table that must agree; the suite's by default.
        key_columns: Columns of both tables that form the key.
        columns: Columns compared; ``None``: all but the key and those that describe a load.
        hash_algorithm: ``xxhash64`` (DuckDB, which has none, uses its own 64-bit hash), ``md5``
            or ``sha256``. The verdict is the same in every engine.
        **options: See :class:`ReconciliationOptions`.

    Raises:
        InvalidArgumentError: An unknown ``hash_algorithm``.

    Source: developer guide, "Reconciliation Checks (Cross-table)".
    """

    def __init__(
        self,
        source_table: str,
        key_columns: Sequence[str],
        columns: Sequence[str] | None = None,
        hash_algorithm: Literal["xxhash64", "md5", "sha256"] = "xxhash64",
        **options: Unpack[ReconciliationOptions],
    ) -> None:
        super().__init__(source_table, key_columns, **options)
        self.compared = None if columns is None else column_names(self, "columns", columns)
        if hash_algorithm not in ("xxhash64", "md5", "sha256"):
            refuse(self, "hash_algorithm", hash_algorithm, "'xxhash64', 'md5' or 'sha256'")
        self.hash_algorithm = hash_algorithm

    def _differences(self, source: Side, target: Side, reader: Reader) -> tuple[Sql, Sql]:
        from phlo_quality.canonical import row_hash
        from phlo_quality.reconciliation.queries import paired_by_hash

        columns = self._columns(source, target)
        hashes = (
            row_hash(source.rows, target.rows, columns, self.hash_algorithm, reader.dialect),
            row_hash(target.rows, source.rows, columns, self.hash_algorithm, reader.dialect),
        )
        differs = Identifier("differs")
        query = paired_by_hash(source, target, self.key_columns, hashes, differs)
        return query, sql("{d} = 1", d=differs)

    def _columns(self, source: Side, target: Side) -> Sequence[str]:
        names = self.compared or [
            name
            for side in (source, target)
            for name in side.rows.columns.names
            if name not in self.key_columns and not is_metadata_column(name)
        ]
        names = list(dict.fromkeys(names))
        for side in (source, target):
            side.rows.require(names)
        return names
