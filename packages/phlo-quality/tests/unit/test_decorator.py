from datetime import timedelta

import pytest
from phlo.checks import Severity
from phlo.errors import InvalidArgumentError, InvalidNameError
from phlo.names import TableName
from phlo.protocols import CheckSuite
from phlo.specs import spec_of
from phlo_quality import CountCheck, NullCheck, RangeCheck, UniqueCheck, phlo_quality


def test_a_suite_travels_on_the_function_which_stays_callable():
    @phlo_quality(table="bronze.events", checks=[NullCheck(columns=["id"])])
    def events_quality():
        """Events are complete."""
        return 7

    suite = spec_of(events_quality)
    assert events_quality() == 7
    assert isinstance(suite, CheckSuite)
    assert (suite.name, suite.table) == ("events_quality", TableName("bronze", "events"))
    assert (suite.blocking, suite.scope, suite.asset_key) == (True, "partition", None)
    assert suite.description == "Events are complete."
    assert "test_decorator.py:" in suite.defined_at


def test_checks_are_named_by_function_check_and_columns_whatever_their_order(suite_of):
    checks = [NullCheck(columns=["id", "at"]), RangeCheck("value", 0), CountCheck(min_count=1)]
    names = {"events__NullCheck__id_at", "events__RangeCheck__value", "events__CountCheck"}
    assert {c.name for c in suite_of(*checks).checks} == names
    assert {c.name for c in suite_of(*reversed(checks)).checks} == names


def test_a_name_of_its_own_replaces_the_whole_name(suite_of):
    suite = suite_of(RangeCheck("v", 0), RangeCheck("v", 0, 9, severity="warn", name="v_is_small"))
    assert [c.name for c in suite.checks] == ["events__RangeCheck__v", "v_is_small"]


def test_two_checks_of_one_name_are_refused_with_the_remedy(suite_of):
    with pytest.raises(InvalidArgumentError, match="2 checks .* 'events__RangeCheck__v'") as caught:
        suite_of(RangeCheck("v", 0), RangeCheck("v", 0, 9))
    assert "name=" in caught.value.hint


def test_columns_that_no_name_can_hold_are_spelled_with_underscores(suite_of):
    assert suite_of(UniqueCheck(columns=['a "b" é'])).checks[0].name == "events__UniqueCheck__a_b_"


def test_severity_comes_from_the_check_or_else_from_the_suite(suite_of):
    checks = suite_of(NullCheck(["a"]), NullCheck(["b"], severity="error"), severity="warn").checks
    assert [c.severity for c in checks] == [Severity.WARN, Severity.ERROR]


def test_a_check_is_described_by_its_class_unless_it_says_more(suite_of):
    first, second = suite_of(CountCheck(1), NullCheck(["a"], description="a is there")).checks
    assert first.description.startswith("The number of judged rows is within bounds")
    assert second.description == "a is there"


def test_an_asset_key_is_a_path(suite_of):
    assert suite_of(CountCheck(1), asset_key="up/stream").asset_key == ("up", "stream")
    assert suite_of(CountCheck(1), asset_key=["a/b", "c"]).asset_key == ("a/b", "c")


@pytest.mark.parametrize(
    ("options", "argument"),
    [
        ({"checks": []}, "checks"),
        ({"checks": NullCheck(["a"])}, "checks"),
        ({"checks": [NullCheck]}, "checks"),
        ({"checks": ["NullCheck"]}, "checks"),
        ({"severity": "fatal"}, "severity"),
        ({"scope": "day"}, "scope"),
        ({"scope": timedelta(0)}, "scope"),
        ({"partition_column": ""}, "partition_column"),
        ({"asset_key": ""}, "asset_key"),
        ({"checks": [CountCheck(1, name="a b")]}, "name"),
    ],
)
def test_a_wrong_argument_of_the_decorator_is_refused(options, argument):
    with pytest.raises(InvalidArgumentError) as caught:
        phlo_quality(**{"table": "a.b", "checks": [CountCheck(1)], **options})(lambda: None)
    assert caught.value.argument == argument


def test_a_table_without_a_namespace_is_refused():
    with pytest.raises(InvalidNameError, match="'events' is not a table identifier"):
        phlo_quality(table="events", checks=[CountCheck(1)])
