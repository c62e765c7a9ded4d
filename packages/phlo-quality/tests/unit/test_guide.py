"""The developer guide's section on @phlo_quality, run as written."""

import textwrap
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from phlo.names import TableName
from phlo.specs import spec_of

EVENTS, USERS = TableName("bronze", "events"), TableName("bronze", "users")

BASIC = """
    from phlo_quality import phlo_quality
    from phlo_quality.checks import NullCheck, RangeCheck

    @phlo_quality(
        table="bronze.events",
        checks=[
            NullCheck(columns=["id", "timestamp"]),
            RangeCheck(column="value", min_value=0, max_value=100)
        ]
    )
    def events_quality():
        pass
"""
BUILT_IN = """
    from phlo_quality import (
        phlo_quality, NullCheck, RangeCheck, FreshnessCheck, UniqueCheck, CountCheck,
        CustomSQLCheck,
    )

    @phlo_quality(
        table="bronze.events",
        checks=[
            NullCheck(columns=["id", "email", "timestamp"]),
            RangeCheck(column="age", min_value=0, max_value=150),
            RangeCheck(column="temperature", min_value=-50.0, max_value=50.0),
            FreshnessCheck(
                column="timestamp",
                max_age_hours=24  # Error if data older than 24h
            ),
            UniqueCheck(columns=["id"]),
            UniqueCheck(columns=["user_id", "timestamp"]),  # Composite key
            CountCheck(min_count=1),  # At least 1 row
            CustomSQLCheck(
                query="SELECT COUNT(*) FROM bronze.events WHERE value < 0",
                expected_result=0,
                description="No negative values"
            ),
        ]
    )
    def events_quality():
        pass
"""
SEVERAL_TABLES = '''
    from phlo_quality import phlo_quality, CustomSQLCheck

    @phlo_quality(
        table="bronze.events",
        checks=[
            CustomSQLCheck(
                query="""
                    SELECT COUNT(*)
                    FROM bronze.events e
                    LEFT JOIN bronze.users u ON e.user_id = u.id
                    WHERE u.id IS NULL
                """,
                expected_result=0,
                description="All events have valid user_id"
            )
        ]
    )
    def events_quality():
        pass
'''
CONDITIONAL = """
    import pandas as pd
    from datetime import datetime
    from phlo_quality import phlo_quality
    from phlo_quality.checks import QualityCheck, QualityCheckResult

    class ConditionalCheck(QualityCheck):
        def execute(self, df: pd.DataFrame, context) -> QualityCheckResult:
            # Only run check on weekdays
            if datetime.now().weekday() >= 5:
                return QualityCheckResult(
                    passed=True,
                    failed=False,
                    message="Skipped on weekend"
                )

            # Run validation
            passed = len(df) > 0  # Example validation
            return QualityCheckResult(
                passed=passed,
                failed=not passed,
                message=f"Validated {len(df)} rows"
            )

    @phlo_quality(
        table="bronze.events",
        checks=[ConditionalCheck()]
    )
    def events_quality():
        pass
"""
NOW = datetime.now(UTC)
ROWS = pa.table(
    {
        "id": ["a", "b"],
        "email": ["a@x.org", "b@x.org"],
        "timestamp": pa.array([NOW, NOW - timedelta(hours=1)], pa.timestamp("us", tz="UTC")),
        "value": [1.0, 100.0],
        "age": [0, 150],
        "temperature": [-50.0, 50.0],
        "user_id": [1, 2],
    }
)


@pytest.fixture
def run(lake):
    lake.write(USERS, {"id": [1, 2]})

    def run_block(text, rows=ROWS, **names):
        lake.write(EVENTS, rows)
        module = dict(names)
        exec(textwrap.dedent(text), module)
        suite = spec_of(module["events_quality"])
        return [(r.kind, r.status.value) for r in suite.evaluate(lake, lake.store)]

    return run_block


def test_the_basic_suite_passes_on_good_rows(run):
    assert run(BASIC) == [("NullCheck", "passed"), ("RangeCheck", "passed")]


def test_all_built_in_checks_run_together(run):
    verdicts = run(BUILT_IN)
    assert [kind for kind, status in verdicts if status == "passed"] == [
        "NullCheck",
        "RangeCheck",
        "RangeCheck",
        "FreshnessCheck",
        "UniqueCheck",
        "UniqueCheck",
        "CountCheck",
        "CustomSQLCheck",
    ]


def test_a_query_over_several_tables_finds_the_orphan(run):
    assert run(SEVERAL_TABLES) == [("CustomSQLCheck", "passed")]
    position = ROWS.column_names.index("user_id")
    orphan = ROWS.set_column(position, "user_id", pa.array([1, 3]))
    assert run(SEVERAL_TABLES, orphan) == [("CustomSQLCheck", "failed")]


@pytest.mark.parametrize(("day", "status"), [(6, "failed"), (5, "passed")])
def test_the_conditional_check_runs_on_weekdays_alone(run, day, status):
    class Clock(datetime):
        @classmethod
        def now(cls, tz=None):
            return cls(2025, 1, day, tzinfo=tz)

    text = CONDITIONAL.replace("from datetime import datetime", "")
    assert run(text, ROWS.slice(0, 0), datetime=Clock) == [("ConditionalCheck", status)]


def test_the_conditional_check_is_declared_and_run_as_written(run):
    assert run(CONDITIONAL) == [("ConditionalCheck", "passed")]
