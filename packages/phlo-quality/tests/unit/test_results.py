import numpy as np
import pytest
from phlo.checks import CheckStatus, Severity
from phlo.errors import InvalidArgumentError
from phlo.names import TableName
from phlo_quality import QualityCheckResult


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ({"passed": True}, "passed"),
        ({"passed": False}, "failed"),
        ({"passed": np.bool_(True), "failed": np.bool_(False)}, "passed"),
        ({"passed": False, "failed": True}, "failed"),
        ({"passed": False, "status": CheckStatus.SKIPPED}, "skipped"),
    ],
)
def test_the_status_follows_from_what_is_said(given, status):
    result = QualityCheckResult(**given)
    assert result.status == status
    assert result.passed is (status == "passed")
    assert result.failed is (status == "failed")


@pytest.mark.parametrize(
    "given",
    [
        {"passed": True, "failed": True},
        {"passed": False, "failed": False},
        {"passed": True, "status": CheckStatus.SKIPPED},
        {"passed": False, "status": CheckStatus.PASSED},
    ],
)
def test_a_contradiction_is_refused(given):
    with pytest.raises(InvalidArgumentError, match="QualityCheckResult says passed="):
        QualityCheckResult(**given)


def test_metadata_has_the_keys_of_the_guide():
    result = QualityCheckResult(
        True,
        row_count=1000,
        columns=["id", "timestamp"],
        metrics={"null_count": 0},
        check_name="NullCheck",
        table="bronze.events",
        execution_time_seconds=0.5,
    )
    assert result.metadata() == {
        "passed": True,
        "status": "passed",
        "check_name": "NullCheck",
        "table": "bronze.events",
        "columns": ["id", "timestamp"],
        "row_count": 1000,
        "null_count": 0,
        "execution_time_seconds": 0.5,
    }


@pytest.mark.parametrize(
    ("severity", "blocking", "blocks"),
    [(Severity.ERROR, True, True), (Severity.WARN, True, False), (Severity.ERROR, False, False)],
)
def test_only_an_error_in_a_blocking_suite_blocks(severity, blocking, blocks):
    result = QualityCheckResult(False).to_check_result(
        name="c", table=TableName("a", "b"), severity=severity, blocking=blocking, scope="table"
    )
    assert result.blocks is blocks


def test_a_skipped_check_never_blocks():
    result = QualityCheckResult.skipped().to_check_result(
        name="c", table=TableName("a", "b"), severity=Severity.ERROR, blocking=True, scope="table"
    )
    assert (result.passed, result.blocks, result.row_count) == (False, False, 0)
