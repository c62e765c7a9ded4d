"""`phlo quarantine discard`: rows that nobody wants any more."""

from phlo_cli.commands import quarantine

WORKFLOW = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion

    class Events(pa.DataFrameModel):
        id: int
        value: int = pa.Field(ge=0)

    @phlo_ingestion(table_name="events", unique_key="id", validation_schema=Events, group="g",
                    invalid_rows="quarantine")
    def events(partition_date: str):
        day = int(partition_date[-2:])
        return [{"id": day, "value": 1}, {"id": 100 + day, "value": -1}]
"""


def test_rows_are_discarded_by_partition_or_all_and_the_table_stays(phlo_project, phlo):
    phlo_project.write("workflows/events.py", WORKFLOW)
    days = ("2025-01-01", "2025-01-02", "2025-01-03")
    assert phlo("backfill", "events", "--partitions", ",".join(days)).code == 0

    def kept():
        listed = phlo("quarantine", "list", "--json").json
        return [(row["partition"], row["rows"]) for row in listed]

    def loaded():
        rows = phlo("query", "SELECT id FROM bronze.events ORDER BY id", "--json").json
        return [row["id"] for row in rows]

    asked = phlo("quarantine", "discard", "events", "--partition", days[0])
    assert (asked.code, "1 row of bronze.events would be discarded" in asked.out) == (1, True)
    assert kept() == [(day, 1) for day in days]

    assert phlo("quarantine", "discard", "events", "--partition", days[0], "--yes").code == 0
    assert kept() == [(day, 1) for day in days[1:]]
    answer = phlo("quarantine", "discard", "bronze.events", "--yes", "--json").json
    assert answer == {"table": "bronze.events", "rows": 2, "is_discarded": True}
    assert (kept(), loaded()) == ([], [1, 2, 3])
    assert phlo("quarantine", "discard", "events", "--yes").code == 0
    assert phlo("quarantine", "discard", "nothing", "--yes").code == 2

    assert phlo("materialize", "events", "--partition", days[1]).code == 0
    assert kept() == [(days[1], 1)]


def test_rows_that_came_after_the_count_are_not_discarded(phlo_project, phlo, monkeypatch):
    phlo_project.write("workflows/events.py", WORKFLOW)
    assert phlo("materialize", "events", "--partition", "2025-01-01").code == 0
    counted = quarantine._waiting_rows

    def count_and_let_another_load(lake, table, partition):
        rows = counted(lake, table, partition)
        monkeypatch.setattr(quarantine, "_waiting_rows", counted)
        assert phlo("materialize", "events", "--partition", "2025-01-02").code == 0
        return rows

    monkeypatch.setattr(quarantine, "_waiting_rows", count_and_let_another_load)
    refused = phlo("quarantine", "discard", "events", "--yes")
    assert (refused.code, "was changed since" in refused.err) == (1, True)
    listed = phlo("quarantine", "list", "--json").json
    assert [(row["partition"], row["rows"]) for row in listed] == [
        ("2025-01-01", 1),
        ("2025-01-02", 1),
    ]
