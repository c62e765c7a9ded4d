"""Names of tables and partitions: what they may be, and that none is read as another."""

from datetime import date

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from phlo.errors import InvalidNameError, InvalidPartitionError
from phlo.names import Partition, TableName, is_metadata_column

BAD_PARTS = ["", "a.b", "a/b", "a\\b", "a\nb", "a\x00", "\x1f"]


@given(st.text(min_size=1, max_size=8), st.text(min_size=1, max_size=8))
def test_every_name_is_read_back_from_its_text(namespace, name):
    assume(not any(c in "./\\" or c < " " for c in namespace + name))

    table = TableName(namespace, name)

    assert TableName.parse(str(table)) == table
    assert TableName.parse(name, default_namespace=namespace) == table


@pytest.mark.parametrize("part", BAD_PARTS)
def test_a_part_that_would_be_another_path_or_name_is_refused(part):
    for parts in ((part, "events"), ("bronze", part)):
        with pytest.raises(InvalidNameError, match="cannot be part of a table name") as caught:
            TableName(*parts)
        assert repr(part) in str(caught.value)


@pytest.mark.parametrize("text", ["lake.bronze.events", "bronze.", ".events", "."])
def test_text_of_other_than_two_parts_is_refused(text):
    with pytest.raises(InvalidNameError):
        TableName.parse(text, default_namespace="bronze")


def test_a_bare_name_needs_a_namespace():
    with pytest.raises(
        InvalidNameError, match=r"'events' is not a table identifier.*bronze\.events|"
    ) as caught:
        TableName.parse("events")
    assert "bronze.events" in str(caught.value)


@given(st.dates())
def test_every_day_is_read_back_from_its_key(day):
    assert Partition.parse(Partition(day).key) == Partition(day)


@pytest.mark.parametrize(
    "key", ["", "2025-01", "2025-02-30", "2025-01-15T00:00", "15.01.2025", "eu"]
)
def test_a_key_that_is_no_day_is_refused(key):
    with pytest.raises(InvalidPartitionError, match="YYYY-MM-DD"):
        Partition.parse(key)


def test_a_partition_ends_before_its_successor():
    month = Partition(date(2024, 2, 1), 29)

    assert month.end == date(2024, 3, 1)
    assert Partition(date(2024, 2, 28)).end == date(2024, 2, 29)


@pytest.mark.parametrize(
    ("name", "is_metadata"),
    [
        ("_phlo_run_id", True),
        ("_dlt_load_id", True),
        ("_phlo_", True),
        ("_phlo", False),
        ("phlo_run_id", False),
        ("_PHLO_run_id", False),
    ],
)
def test_columns_of_the_load_are_known_by_how_they_begin(name, is_metadata):
    assert is_metadata_column(name) is is_metadata
