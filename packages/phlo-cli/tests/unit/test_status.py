import pytest

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
