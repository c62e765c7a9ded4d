"""A conformance suite for checks: what every check must do, in SQL or on frames.

A test module inherits it, says how to make the check, and gives rows that keep the rule and rows
that break it. They are judged as they will be: in a suite, on a real table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow.dataset as ds
import pytest
from phlo.checks import CheckStatus
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.orchestration.checks import check_specs, to_asset_check_result
from phlo.specs import spec_of
from phlo.values import Append, Replace
from phlo_quality import phlo_quality

if TYPE_CHECKING:
    from pathlib import Path

    import pyarrow as pa
    from phlo.checks import CheckResult
    from phlo.protocols import Staged
    from phlo_quality import QualityCheck

TABLE = TableName("bronze", "judged")


class CheckConformance:
    """Inherit this; provide :meth:`make_check`, ``good_rows`` and ``bad_rows``.

    Attributes:
        good_rows: At least one row; all keep the rule.
        bad_rows: At least one row; together they break the rule.
        failing_rows: Those of ``bad_rows`` that the check names, in any order; ``None`` where a
            rule is not about single rows.
        judges_no_rows: Whether zero rows are a case for the rule, as they are for ``CountCheck``.
    """

    good_rows: ClassVar[pa.Table]
    bad_rows: ClassVar[pa.Table]
    failing_rows: ClassVar[list[dict[str, Any]] | None] = None
    judges_no_rows: ClassVar[bool] = False

    def make_check(self) -> QualityCheck:
        """Build the check under test."""
        raise NotImplementedError

    @pytest.fixture(autouse=True)
    def _project(self, phlo_environment: Path) -> None:
        """Give every test a project of its own."""

    def judge(self, rows: pa.Table, **options: Any) -> CheckResult:
        """Publish rows and judge them."""
        self.publish(rows)
        return self.evaluate(**options)

    def publish(self, rows: pa.Table) -> None:
        """Make the table of these rows."""
        store = open_lake().store
        store.publish([store.stage(TABLE, ds.dataset(rows), Replace(), schema=rows.schema)])

    def evaluate(self, staged: Staged | None = None, **options: Any) -> CheckResult:
        """Judge the published table, or a stage of it."""
        lake = open_lake()
        at = {TABLE: staged} if staged else None
        (result,) = self.suite(**options).evaluate(lake.engine, lake.store, at=at)
        return result

    def suite(self, **options: Any) -> Any:
        """Build a suite of this check alone."""

        @phlo_quality(table=str(TABLE), checks=[self.make_check()], **options)
        def conformance() -> None:
            pass

        return spec_of(conformance)

    def test_rows_that_keep_the_rule_pass_and_are_counted(self) -> None:
        result = self.judge(self.good_rows)
        assert (result.status, result.row_count) == (CheckStatus.PASSED, len(self.good_rows))
        assert not result.failed_count

    def test_rows_that_break_the_rule_fail_and_are_named(self) -> None:
        result = self.judge(self.bad_rows)
        assert (result.status, result.row_count) == (CheckStatus.FAILED, len(self.bad_rows))
        assert result.message
        assert result.blocks
        if self.failing_rows is not None:
            assert result.failed_count == len(self.failing_rows)
            assert sorted(map(repr, result.sample)) == sorted(map(repr, self.failing_rows))

    def test_the_sql_of_a_failure_finds_the_rows_it_names(self) -> None:
        result = self.judge(self.bad_rows)
        if result.sql is not None and self.failing_rows is not None:
            found = open_lake().engine.query(result.sql).read_all().to_pylist()
            assert sorted(map(repr, found)) == sorted(map(repr, self.failing_rows))

    def test_zero_rows_do_not_pass_unless_they_are_a_case_for_the_rule(self) -> None:
        result = self.judge(self.good_rows.slice(0, 0))
        assert result.status is not CheckStatus.COULD_NOT_RUN
        assert self.judges_no_rows or not result.passed
        assert result.row_count == 0

    def test_a_load_is_judged_before_it_is_visible(self) -> None:
        self.publish(self.good_rows)
        store = open_lake().store
        rows = ds.dataset(self.bad_rows)
        how = Append(on_rerun="append")
        result = self.evaluate(store.stage(TABLE, rows, how, schema=self.bad_rows.schema))
        if self.make_check().audits:
            assert result.status is CheckStatus.FAILED
        assert self.evaluate().passed

    def test_a_missing_column_could_not_be_judged(self) -> None:
        columns = self.make_check().columns
        if not columns:
            pytest.skip("The check names no columns.")
        others = self.good_rows.append_column("another_column", self.good_rows.column(0))
        result = self.judge(others.drop_columns([columns[0]]))
        assert result.status is CheckStatus.COULD_NOT_RUN
        assert columns[0] in result.message

    def test_a_warning_never_blocks(self) -> None:
        assert not self.judge(self.bad_rows, severity="warn").blocks
        assert not self.judge(self.bad_rows, blocking=False).blocks

    def test_dagster_can_show_the_check_and_its_results(self) -> None:
        (spec,) = check_specs(self.suite(), ["judged"])
        assert spec.description
        for rows in (self.good_rows, self.bad_rows):
            result = self.judge(rows)
            shown = to_asset_check_result(result, ["judged"])
            assert (shown.passed, shown.check_name) == (result.passed, spec.name)
            assert shown.metadata["row_count"].value == len(rows)
