"""Partitions that are missing: listed, and made."""

from phlo.config import get_settings
from phlo_cli.location import open_location
from phlo_cli.missing import find_missing, find_missing_in_index
from phlo_cli.project_index import load_index

DAYS = """
    import dagster as dg

    @dg.asset(partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-06"))
    def days() -> None: ...
"""


def test_missing_partitions_are_listed_and_caught_up(phlo_project, phlo):
    phlo_project.write("workflows/days.py", DAYS)
    listed = phlo("status", "--missing", "--json").json
    assert [row["partition"] for row in listed] == [f"2025-01-0{n}" for n in range(1, 6)]

    assert phlo("backfill", "days", "--partitions", "2025-01-02,2025-01-04").code == 0
    listed = phlo("status", "--missing", "--json").json
    assert [(r["asset"], r["partition"], r["made_at"]) for r in listed] == [
        ("days", "2025-01-03", None),
        ("days", "2025-01-05", None),
    ]
    since = phlo("status", "--missing", "--since", "2025-01-05", "--json").json
    assert [row["partition"] for row in since] == ["2025-01-05"]

    ended = phlo("backfill", "days", "--missing", "--json").json
    assert sorted(ended["done"]) == ["2025-01-03", "2025-01-05"]
    assert phlo("status", "--missing", "--json").json == []
    assert phlo("backfill", "days", "--missing", "--json").json == []


LOADED = """
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion

    class Days(pa.DataFrameModel):
        id: str

    @phlo_ingestion(table_name="days", unique_key="id", validation_schema=Days, group="g",
                    start_date="2025-01-01")
    def days(partition_date: str):
        return [{"id": partition_date}]
"""


def test_the_days_of_a_dropped_table_are_missing_and_are_made_anew(phlo_project, phlo):
    phlo_project.write("workflows/days.py", LOADED)
    days = ["2025-01-01", "2025-01-02", "2025-01-03"]
    assert phlo("backfill", "days", "--partitions", ",".join(days)).code == 0
    assert not set(days) & missing_of(phlo)

    asked = phlo("catalog", "drop", "days", "--json")
    assert (asked.code, asked.json["rows"], asked.json["is_dropped"]) == (1, 3, False)
    assert [
        row["id"] for row in phlo("query", "SELECT id FROM bronze.days ORDER BY 1", "--json").json
    ] == days
    dropped = phlo("catalog", "drop", "days", "--yes")
    assert (dropped.code, "bronze.days was dropped: 3 rows." in dropped.out) == (0, True)

    assert phlo("query", "SELECT id FROM bronze.days").code != 0
    (state,) = phlo("status", "--json").json
    assert (state["state"], state["rows"]) == ("never", None)
    assert set(days) <= missing_of(phlo)
    assert phlo("backfill", "days", "--partitions", days[0]).code == 0
    assert phlo("query", "SELECT id FROM bronze.days", "--json").json == [{"id": days[0]}]
    assert set(days) & missing_of(phlo) == {"2025-01-02", "2025-01-03"}


def missing_of(phlo):
    return {row["partition"] for row in phlo("status", "--missing", "--json").json}


CALENDARS = """
    from datetime import datetime

    import dagster as dg

    def window(name, **options):
        definition = dg.TimeWindowPartitionsDefinition(**options)
        return dg.asset(name=name, partitions_def=definition)(lambda: None)

    made = [
        window("days", cron_schedule="0 0 * * *", start="2025-10-20", fmt="%Y-%m-%d",
               timezone="Europe/Berlin", end=datetime(2025, 10, 30)),
        window("ahead", cron_schedule="0 0 * * 1", start="2024-08-01",
               fmt="%Y-%m-%d", end_offset=1),
        window("working_days", cron_schedule="0 0 * * *", start="2025-01-01", fmt="%Y-%m-%d",
               end=datetime(2025, 1, 20), exclusions=["0 0 * * 6,0", datetime(2025, 1, 6)]),
        window("hours", cron_schedule="0 * * * *", start="2025-10-26-00:00+0200",
               fmt="%Y-%m-%d-%H:%M%z", timezone="Europe/Berlin", end=datetime(2025, 10, 26, 6)),
    ]

    @dg.asset(partitions_def=dg.StaticPartitionsDefinition(["eu"]))
    def regions(): ...
"""


def test_the_index_knows_every_calendar_as_the_code_declares_it(phlo_project, phlo):
    phlo_project.write("workflows/calendars.py", CALENDARS)
    assert phlo("materialize", "days", "--partition", "2025-10-26").code == 0
    assert phlo("materialize", "working_days", "--partition", "2025-01-03").code == 0
    location, index = open_location(), load_index(get_settings())
    declared = {
        key.to_user_string(): location.graph.get(key).partitions_def
        for key in location.graph.materializable_asset_keys
    }
    for asset in index.assets:
        if asset.key != "regions":
            assert asset.partitions.definition() == declared[asset.key]
    found = find_missing(location, location.graph.materializable_asset_keys)
    assert find_missing_in_index(index.assets, location.instance) == found
    assert {one.asset for one in found} == {"days", "ahead", "working_days", "hours"}
    location.instance.dispose()


def test_missing_partitions_of_a_broken_project_are_those_last_known(phlo_project, phlo):
    phlo_project.write("workflows/days.py", DAYS)
    known = phlo("status", "--missing", "--json").json
    phlo_project.write("workflows/broken.py", "def (:")
    looked = phlo("status", "--missing", "--json")
    assert (looked.code, looked.json) == (0, known)
    assert "The project cannot be loaded" in looked.err
    assert "workflows/broken.py:1" in looked.err
