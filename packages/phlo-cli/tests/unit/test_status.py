import sys

import pytest
from phlo.config import get_settings
from phlo_cli.project_index import fingerprint

FRESH = """
    from datetime import timedelta

    import dagster as dg

    policy = dg.FreshnessPolicy.time_window(
        fail_window=timedelta(hours=2), warn_window=timedelta(hours=1)
    )

    @dg.asset(freshness_policy=policy)
    def watched() -> None: ...
"""


def states(phlo, *arguments):
    return {row["key"]: row for row in phlo("status", *arguments, "--json").json}


def test_assets_that_were_never_made_say_so(plain_project, phlo):
    row = states(phlo)["dlt_orders"]
    assert (row["state"], row["made_at"], row["checks"]) == ("never", None, {})
    assert row["group"] == "api"


def test_a_made_asset_shows_partition_rows_and_checks(plain_project, phlo):
    run_id = phlo("materialize", "dlt_orders", "--partition", "2025-01-15", "--json").json["run_id"]
    row = states(phlo)["dlt_orders"]
    assert row["state"] == "ok"
    assert (row["partition"], row["rows"], row["run_id"]) == ("2025-01-15", 8, run_id)
    assert row["checks"] == {"passed": 1}
    assert "dlt_orders" in phlo("status").out


def test_what_is_made_of_newer_assets_is_out_of_date(plain_project, phlo):
    phlo("materialize", "dlt_orders,daily_totals", "--partition", "2025-01-15")
    assert states(phlo)["daily_totals"]["newer"] == []
    phlo("materialize", "dlt_orders", "--partition", "2025-01-16")

    assert states(phlo)["daily_totals"]["newer"] == ["dlt_orders"]
    assert "out of date: dlt_orders is newer" in phlo("status").out


def test_failed_shows_what_failed_and_what_waited_for_it(plain_project, phlo):
    phlo("materialize", "dlt_orders,broken+", "--partition", "2025-01-15")
    assert set(states(phlo, "--failed")) == {"broken", "after_broken"}


def test_a_group_is_shown_alone(plain_project, phlo):
    assert set(states(phlo, "--group", "marts")) == {"daily_totals"}
    answer = phlo("status", "--group", "mart")
    assert (answer.code, "No group is called 'mart'." in answer.err) == (2, True)
    assert "Did you mean 'marts'?" in answer.err
    assert phlo("status", "--missing", "--group", "nobody").code == 2
    assert phlo("status", "--failed").out == "No asset failed.\n"


@pytest.mark.parametrize(("hours", "expected"), [(0.5, "fresh"), (1.5, "late"), (3, "stale")])
def test_freshness_is_judged_by_the_assets_own_policy(
    phlo_project, phlo, monkeypatch, hours, expected
):
    from datetime import UTC, datetime, timedelta

    phlo_project.write("workflows/fresh.py", FRESH)
    assert states(phlo)["watched"]["freshness"] == "stale"
    phlo("materialize", "watched")
    import phlo_cli.status as module

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(UTC) + timedelta(hours=hours)

    monkeypatch.setattr(module, "datetime", Later)
    assert states(phlo)["watched"]["freshness"] == expected
    assert ("watched" in states(phlo, "--stale")) is (expected != "fresh")


DAILY = """
    from datetime import timedelta

    import dagster as dg

    policy = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=48))

    @dg.asset(
        freshness_policy=policy,
        partitions_def=dg.DailyPartitionsDefinition("2025-01-01", end_offset=1),
    )
    def watched() -> None: ...
"""


def test_a_backfill_of_old_days_makes_nothing_fresh(phlo_project, phlo):
    phlo_project.write("workflows/fresh.py", DAILY)
    assert phlo("materialize", "watched", "--partition", "2025-01-15").code == 0
    row = states(phlo)["watched"]
    assert (row["freshness"], row["newest_partition"]) == ("stale", "2025-01-15")
    assert phlo("materialize", "watched").code == 0
    assert phlo("materialize", "watched", "--partition", "2025-01-16").code == 0
    row = states(phlo)["watched"]
    assert (row["freshness"], row["partition"]) == ("fresh", "2025-01-16")
    assert row["newest_partition"] > "2025-01-16"


def test_a_project_that_cannot_be_loaded_is_shown_as_it_was(plain_project, phlo):
    phlo("materialize", "dlt_orders", "--partition", "2025-01-15")
    plain_project.write("workflows/bad.py", "import nothing_like_that\n")
    answer = phlo("status", "--json")
    assert (answer.code, {row["key"]: row["state"] for row in answer.json}["dlt_orders"]) == (
        0,
        "ok",
    )
    assert "this is its last known state" in answer.err
    assert "bad.py:1 fails to import" in answer.err
    logs = phlo("logs", "--asset", "dlt_orders")
    assert (logs.code, "Made dlt_orders" in logs.out) == (0, True)
    assert phlo("status", "--group", "nope").code == 2
    assert phlo("materialize", "dlt_orders").code == 1


def test_what_did_not_change_is_not_imported_again(phlo_project, phlo):
    """The file counts how often it is imported."""
    asset = """
        from pathlib import Path
        import dagster as dg

        with Path(__file__).with_suffix(".txt").open("a") as file:
            file.write("x")

        @dg.asset
        def {name}() -> None: ...
    """
    count = phlo_project.root / ".imports"
    asset = asset.replace('Path(__file__).with_suffix(".txt")', f"Path({str(count)!r})")
    phlo_project.write("workflows/one.py", asset.format(name="one"))
    assert set(states(phlo)) == {"one"}
    before = count.read_text()
    for name in [n for n in sys.modules if n.split(".")[0] == "workflows"]:
        del sys.modules[name]
    assert set(states(phlo)) == {"one"}
    assert count.read_text() == before
    phlo_project.write("workflows/one.py", asset.format(name="two"))
    assert set(states(phlo)) == {"two"}


@pytest.mark.parametrize(
    "change",
    [
        ("workflows/one.py", "x = 2\n"),
        ("workflows/transforms/dbt/models/a.sql", "select 1"),
        (".env", "PHLO_TIMEZONE=Asia/Tokyo\n"),
        ("tables.yml", "a: 1\n"),
    ],
)
def test_the_index_is_invalid_once_a_file_changes(phlo_project, change):
    phlo_project.write("workflows/one.py", "x = 1\n")
    before = fingerprint(get_settings())
    phlo_project.write("workflows/__pycache__/one.txt", "generated")
    phlo_project.write("workflows/transforms/dbt/target/manifest.json", "generated")
    assert fingerprint(get_settings()) == before
    phlo_project.write(*change)
    assert fingerprint(get_settings()) != before


def test_an_index_that_cannot_be_read_is_made_anew(plain_project, phlo):
    whole = states(phlo)
    path = plain_project.root / ".phlo" / "project.json"
    for text in ("", "{}", "[]", '{"format": 1, "assets": [{"no": 1}]}'):
        path.write_text(text)
        assert states(phlo) == whole
