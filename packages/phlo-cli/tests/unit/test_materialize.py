from dagster import AssetKey, DagsterInstance
from phlo.plugins import hookimpl, plugin_manager


def test_a_run_makes_partitioned_and_unpartitioned_assets_in_order(plain_project, phlo):
    answer = phlo("materialize", "dlt_orders+", "--partition", "2025-01-15", "--json")
    assert answer.code == 0
    made = [(a["key"], a["partition"], a["status"]) for a in answer.json["assets"]]
    assert made == [
        ("dlt_orders", "2025-01-15", "materialized"),
        ("dlt_refunds", "2025-01-15", "materialized"),
        ("daily_totals", None, "materialized"),
    ]


def test_the_account_of_a_load_is_in_the_summary(plain_project, phlo):
    answer = phlo("materialize", "dlt_orders", "--partition", "2025-01-15", "--json")
    (asset,) = answer.json["assets"]
    assert asset["rows"] == {"extracted": 5, "inserted": 3, "unchanged": 2}
    assert asset["row_count"] == 8
    (check,) = answer.json["checks"]
    assert (check["name"], check["status"], check["row_count"]) == ("has_rows", "passed", 5)


def test_progress_is_plain_lines_where_there_is_no_terminal(plain_project, phlo):
    answer = phlo("materialize", "dlt_orders+", "--partition", "2025-01-15")
    assert "3 assets, partition 2025-01-15" in answer.out
    assert "✓ dlt_orders    3 inserted, 2 unchanged" in answer.out
    assert "! Dropped 3 columns of [orders]." in answer.out
    assert "Checks: 1 passed" in answer.out
    assert "3 of 3 assets made." in answer.out
    assert "dagster - " not in answer.out + answer.err


def test_what_the_code_prints_does_not_spoil_json(plain_project, phlo):
    answer = phlo("materialize", "daily_totals", "--partition", "2025-01-15", "--json")
    assert "partition is 2025-01-15" in answer.err
    assert answer.json["status"] == "success"


def test_without_a_partition_the_newest_that_all_have_is_made(plain_project, phlo):
    answer = phlo("materialize", "dlt_orders,dlt_refunds", "--dry-run", "--json")
    assert answer.json["partition"] == "2025-01-31"


def test_a_dry_run_prints_the_plan_and_runs_nothing(plain_project, phlo):
    answer = phlo("materialize", "+daily_totals", "--partition", "2025-01-15", "--dry-run")
    assert answer.code == 0
    names = [line.split()[0] for line in answer.out.splitlines() if "2025-01-15" in line]
    assert names == ["dlt_orders", "dlt_refunds"]
    assert "3 assets would be made" in answer.out
    assert runs(plain_project) == []


def test_the_plan_of_a_dry_run_is_what_the_run_makes(plain_project, phlo):
    arguments = ("materialize", "+daily_totals", "--partition", "2025-01-15", "--json")
    planned = [(a["key"], a["partition"]) for a in phlo(*arguments, "--dry-run").json["assets"]]
    made = [(a["key"], a["partition"]) for a in phlo(*arguments).json["assets"]]
    assert planned == made


def test_runs_are_kept_by_the_projects_own_instance(plain_project, phlo):
    answer = phlo("materialize", "dlt_orders", "--partition", "2025-01-15", "--json")
    (run,) = runs(plain_project)
    assert run.run_id == answer.json["run_id"]
    assert run.tags["dagster/partition"] == "2025-01-15"
    assert run.is_success


def test_what_fails_again_is_told_by_its_own_error(plain_project, phlo):
    answer = phlo("materialize", "crashes_twice")
    assert answer.code == 1
    assert "↻ crashes_twice: trying again: KeyError: 'missing'" in answer.out
    assert "crashes_twice failed\n  KeyError: 'missing'" in answer.out
    assert "max_retries" not in answer.out


def test_a_failed_contract_is_told_by_its_message_without_a_traceback(plain_project, phlo):
    answer = phlo("materialize", "broken+")
    assert answer.code == 1
    assert (
        "broken failed\n  3 rows break the contract.\n  Got 'x'; expected a number." in answer.out
    )
    assert "Hint: Repair it." in answer.out
    assert "after_broken  not run: what it needs failed" in answer.out
    assert "Traceback" not in answer.out + answer.err
    assert "Stack Trace" not in answer.out + answer.err
    assert 'File "' not in answer.out + answer.err


def test_what_needs_only_what_was_made_runs_below_a_step_that_failed_in_part(phlo_project, phlo):
    phlo_project.write(
        "workflows/partial.py",
        """
        import dagster as dg


        @dg.multi_asset(specs=[dg.AssetSpec("good"), dg.AssetSpec("bad")])
        def both():
            yield dg.MaterializeResult("good")
            raise dg.Failure(metadata={"phlo/partial_failure": True}, allow_retries=False)


        @dg.asset(deps=["good"])
        def below_good(): ...


        @dg.asset(deps=["bad"])
        def below_bad(): ...


        @dg.asset(deps=["below_good", "below_bad"])
        def below_both(): ...
        """,
    )
    answer = phlo("materialize", "good+,bad+", "--json")
    assert answer.code == 1
    assert {asset["key"]: asset["status"] for asset in answer.json["assets"]} == {
        "good": "materialized",
        "bad": "failed",
        "below_good": "materialized",
        "below_bad": "skipped",
        "below_both": "skipped",
    }


def test_an_error_of_the_projects_code_is_told_with_its_place(plain_project, phlo):
    answer = phlo("materialize", "crashes")
    assert answer.code == 1
    assert "KeyError: 'missing'" in answer.out
    lines = (plain_project.root / "workflows/plain.py").read_text().splitlines()
    place = 1 + next(n for n, line in enumerate(lines) if '{}["missing"]' in line)
    assert f"workflows/plain.py:{place}." in answer.out


def test_verbose_shows_the_whole_traceback(plain_project, phlo):
    answer = phlo("materialize", "crashes", "--verbose")
    assert answer.code == 1
    assert '{}["missing"]' in answer.out


def test_a_failed_check_of_severity_error_fails_the_command(phlo_project, phlo):
    phlo_project.write(
        "workflows/checks.py",
        """
        import dagster as dg

        @dg.asset
        def numbers() -> None: ...

        @dg.asset_check(asset=numbers)
        def positive():
            return dg.AssetCheckResult(passed=False, description="2 rows are below zero.")

        @dg.asset_check(asset=numbers)
        def tidy():
            return dg.AssetCheckResult(passed=False, severity=dg.AssetCheckSeverity.WARN)
        """,
    )
    answer = phlo("materialize", "numbers")
    assert answer.code == 1
    assert "✗ check positive failed: 2 rows are below zero." in answer.out
    assert "! check tidy warned" in answer.out
    assert "1 check failed" in answer.out


def test_an_asset_without_data_is_neither_made_nor_failed(phlo_project, phlo):
    phlo_project.write(
        "workflows/empty.py",
        """
        import dagster as dg

        @dg.multi_asset(specs=[dg.AssetSpec("nothing", skippable=True)])
        def maybe():
            yield from ()

        @dg.asset(deps=["nothing"])
        def needs_it() -> None: ...
        """,
    )
    answer = phlo("materialize", "nothing+", "--json")
    assert answer.code == 0
    assert [a["status"] for a in answer.json["assets"]] == ["no_data", "no_data"]


def test_observers_are_told_of_the_run(plain_project, phlo):
    events = []

    class Observer:
        @hookimpl
        def phlo_on_run(self, event):
            events.append(event)

    plugin_manager().register(Observer())
    phlo("materialize", "broken")
    assert [(e.status, e.assets) for e in events] == [("failure", ("broken",))]


def test_several_plans_run_on_one_location(plain_project):
    from phlo_cli.location import open_location
    from phlo_cli.plan import build_plan
    from phlo_cli.run import materialize_assets

    location = open_location()
    days = ("2025-01-15", "2025-01-16")
    plans = [build_plan(location, [AssetKey("dlt_orders")], partition=day) for day in days]
    summaries = [materialize_assets(location, plan) for plan in plans]
    assert [(s.is_ok, s.partition) for s in summaries] == [(True, day) for day in days]
    made = location.instance.get_materialized_partitions(AssetKey("dlt_orders"))
    assert made == set(days)
    location.instance.dispose()


def runs(project):
    home = project.root / ".phlo" / "dagster"
    with DagsterInstance.from_config(str(home)) as instance:
        return instance.get_runs()


def test_an_asset_whose_first_partition_begins_later_says_so(plain_project, phlo):
    plain_project.write(
        "workflows/later.py",
        "import dagster as dg\n\n"
        "@dg.asset(partitions_def=dg.DailyPartitionsDefinition('2999-01-01'))\n"
        "def later(): ...\n",
    )
    answer = phlo("materialize", "later")
    assert (answer.code, "later has no partition yet" in answer.err) == (2, True)
