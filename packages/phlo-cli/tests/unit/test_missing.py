"""Partitions that are missing: listed, and made."""

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
