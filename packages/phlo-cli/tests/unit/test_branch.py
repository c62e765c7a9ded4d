"""`phlo branch`, and `--branch` on other commands."""

import pytest
from phlo.config import get_settings
from phlo.lake import open_lake, table
from phlo.orchestration.instance import dagster_home, open_instance

EVENTS = """
    from datetime import date

    import dagster as dg
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion
    from workflows import values


    class EventSchema(pa.DataFrameModel):
        id: str
        value: int


    @phlo_ingestion(
        table_name="events", unique_key="id", validation_schema=EventSchema, group="api",
        cron="0 6 * * *",
    )
    def events(partition_date: str):
        return [{"id": "a", "value": values.VALUE}, {"id": "b", "value": getattr(values, "B", 2)}]
"""


@pytest.fixture
def project(phlo_project):
    phlo_project.write("workflows/ingestion/api/events.py", EVENTS)
    phlo_project.write("workflows/values.py", "VALUE = 1")
    return phlo_project


def rows(branch=None):
    found = table("bronze.events", branch=branch).to_arrow().to_pylist()
    return sorted((row["id"], row["value"]) for row in found)


def test_a_branch_is_loaded_compared_published_and_deleted(project, phlo):
    assert phlo("materialize", "events", "--partition", "2025-01-15").code == 0
    assert phlo("branch", "create", "dev").code == 0
    project.write("workflows/values.py", "VALUE = 10")
    loaded = phlo("materialize", "events", "--partition", "2025-01-16", "--branch", "dev")
    assert loaded.out.rstrip().endswith('LIMIT 10" --branch dev')
    assert loaded.code == 0, loaded.err
    assert (rows(), rows("dev")) == ([("a", 1), ("b", 2)], [("a", 10), ("b", 2)])
    (change,) = phlo("branch", "diff", "dev", "--json").json
    assert (change["table"], change["change"], change["conflict"]) == (
        "bronze.events",
        "changed",
        False,
    )
    (described,) = phlo(
        "query", "SELECT sum(value) AS s FROM bronze.events", "--branch", "dev", "--json"
    ).json
    assert described == {"s": 12}
    assert phlo("branch", "publish", "dev", "--delete").code == 0
    assert rows() == [("a", 10), ("b", 2)]
    assert [b["branch"] for b in phlo("branch", "list", "--json").json] == ["main"]
    assert not (project.root / ".phlo" / "branches" / "dev").exists()


def test_runs_of_a_branch_are_no_part_of_mains_history(project, phlo):
    phlo("branch", "create", "dev")
    assert phlo("materialize", "events", "--partition", "2025-01-15", "--branch", "dev").code == 0
    (state,) = phlo("status", "--json").json
    (on_branch,) = phlo("status", "--json", "--branch", "dev").json
    assert (state["run_id"], bool(on_branch["run_id"])) == (None, True)
    with open_instance(get_settings()) as instance:
        assert instance.get_runs_count() == 0


def test_a_branch_never_runs_schedules(project, phlo):
    main = project.definitions()
    assert main.schedules
    phlo("branch", "create", "dev")
    project.set(PHLO_BRANCH="dev", DAGSTER_HOME="/elsewhere")
    on_branch = project.definitions().get_repository_def()
    assert on_branch.schedule_defs == []
    assert on_branch.asset_graph.materializable_asset_keys
    assert dagster_home(get_settings()) == project.root / ".phlo" / "branches" / "dev" / "dagster"


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("materialize", "events", "--dry-run"), ("catalog", "tables"), ("doctor",)],
)
def test_an_unknown_branch_says_how_to_make_it_and_leaves_nothing(project, phlo, arguments):
    answer = phlo(*arguments, "--branch", "nope")
    assert answer.code == (1 if arguments == ("doctor",) else 2)
    assert "phlo branch create nope" in answer.err + answer.out
    assert not (project.root / ".phlo" / "branches").exists()


def test_the_variable_names_the_branch_and_the_option_wins(project, phlo):
    phlo("branch", "create", "one")
    phlo("branch", "create", "two")
    project.set(PHLO_BRANCH="one")
    phlo("materialize", "events", "--partition", "2025-01-15")
    phlo("materialize", "events", "--partition", "2025-01-15", "--branch", "two")
    assert rows("one") == rows("two") == rows() == [("a", 1), ("b", 2)]
    project.set(PHLO_BRANCH="main")
    assert open_lake().store.list_tables() == []
    assert [b["branch"] for b in phlo("branch", "list", "--json").json] == ["main", "one", "two"]


def test_a_conflict_names_tables_and_runs_and_the_commands_that_resolve_it(project, phlo):
    phlo("materialize", "events", "--partition", "2025-01-15")
    phlo("branch", "create", "dev")
    project.write("workflows/values.py", "VALUE, B = 1, 7")
    phlo("materialize", "events", "--partition", "2025-01-16", "--branch", "dev")
    project.write("workflows/values.py", "VALUE = 10")
    phlo("materialize", "events", "--partition", "2025-01-16")
    answer = phlo("branch", "publish", "dev")
    assert answer.code == 1
    assert "bronze.events: changed on dev by run" in answer.err
    answer = phlo("branch", "update", "dev", "--json")
    (conflict,) = answer.json["conflicts"]
    assert (answer.code, conflict["table"]) == (1, "bronze.events")
    assert "may have met" in conflict["obstacle"]
    assert conflict["commands"] == [
        "phlo branch update dev --take bronze.events",
        "phlo materialize bronze.events --partition 2025-01-16 --branch dev",
    ]
    assert all(phlo(*command.split()[1:]).code == 0 for command in conflict["commands"])
    assert phlo("branch", "publish", "dev").code == 0
    assert rows() == [("a", 10), ("b", 2)]


def test_a_publish_updates_the_branch_first_where_asked_to(project, phlo):
    phlo("materialize", "events", "--partition", "2025-01-15")
    phlo("branch", "create", "dev")
    project.write("workflows/values.py", "VALUE, B = 10, 7")
    phlo("materialize", "events", "--partition", "2025-01-16", "--branch", "dev")
    project.write("workflows/values.py", "VALUE = 5")
    phlo("materialize", "events", "--partition", "2025-01-15")
    answer = phlo("branch", "publish", "dev", "--update", "--delete")
    assert answer.code == 0, answer.err
    assert "rebased bronze.events" in answer.out
    assert rows() == [("a", 10), ("b", 7)]


def test_rows_of_both_sides_are_judged_together_before_they_are_published(project, phlo):
    project.write(
        "workflows/quality/api.py",
        """
        from phlo_quality import CountCheck, phlo_quality

        @phlo_quality(table="bronze.events", checks=[CountCheck(max_count=3)], blocking=True)
        def few(): ...
        """,
    )

    def deliver(key):
        text = project.root.joinpath("workflows/ingestion/api/events.py").read_text()
        lines = text.splitlines()
        lines[-1] = f'    return [{{"id": "{key}", "value": 1}}, {{"id": "a", "value": 1}}]'
        project.write("workflows/ingestion/api/events.py", "\n".join(lines))

    for key, day, options in (
        ("b", 15, ()),
        ("c", 16, ("--branch", "dev")),
        ("d", 17, ()),
    ):
        deliver(key)
        loaded = phlo("materialize", "events", "--partition", f"2025-01-{day}", *options)
        assert loaded.code == 0, loaded.err
        if day == 15:
            phlo("branch", "create", "dev")
    project.write("workflows/broken.py", "import nothing_like_that")
    assert phlo("branch", "update", "dev").code == 1
    assert [key for key, _ in rows("dev")] == ["a", "b", "c"]
    project.root.joinpath("workflows/broken.py").unlink()

    answer = phlo("branch", "publish", "dev", "--update", "--json")
    (failed,) = answer.json["failed_checks"]
    assert (answer.code, failed["table"]) == (1, "bronze.events")
    assert "4 rows" in failed["why"]
    assert [key for key, _ in rows()] == ["a", "b", "d"]
    assert [key for key, _ in rows("dev")] == ["a", "b", "c", "d"]


def test_a_wrong_name_is_a_wrong_use(project, phlo):
    assert phlo("status", "--branch", "A/B").code == 2
    assert phlo("branch", "delete", "nope").code == 2
    assert phlo("status", "--branch", "").code == 2


def test_a_run_is_undone_with_its_later_ones(project, phlo):
    first = phlo("materialize", "events", "--partition", "2025-01-15", "--json").json["run_id"]
    project.write("workflows/values.py", "VALUE = 10")
    phlo("materialize", "events", "--partition", "2025-01-16")
    assert phlo("undo", first, "--dry-run").code == 1
    answer = phlo("undo", first)
    assert (answer.code, "--with-later" in answer.err) == (1, True)
    undone = phlo("undo", first[:8], "--with-later", "--json").json
    assert [(t["table"], t["action"]) for t in undone["tables"]] == [("bronze.events", "dropped")]
    assert open_lake().store.list_tables() == []
    assert phlo("undo", first).code == 2
    phlo("materialize", "events", "--partition", "2025-01-16")
    assert rows() == [("a", 10), ("b", 2)]


def test_the_history_of_a_table_tells_what_was_taken_back(project, phlo):
    phlo("materialize", "events", "--partition", "2025-01-15")
    project.write("workflows/values.py", "VALUE = 10")
    second = phlo("materialize", "events", "--partition", "2025-01-16", "--json").json["run_id"]
    assert phlo("undo", second).code == 0
    newest, *others = phlo("catalog", "history", "bronze.events", "--json").json
    assert (newest["operation"], newest["undone_runs"]) == ("undo", [second[:8]])
    assert newest["account"] == [f"took back run {second[:8]}"]
    assert [row["undone_runs"] for row in others] == [[], []]


def test_what_an_undone_run_made_counts_as_missing(project, phlo):
    def load(day, value):
        project.write("workflows/values.py", f"VALUE = {value}")
        return phlo("materialize", "events", "--partition", day, "--json").json["run_id"]

    def told():
        listed = phlo("status", "--missing", "--since", "2025-01-15", "--json").json
        (status,) = phlo("status", "--json").json
        return listed[0]["partition"], status["partition"]

    load("2025-01-15", 1)
    second, third = load("2025-01-16", 10), load("2025-01-16", 11)
    assert told() == ("2025-01-17", "2025-01-16")
    assert phlo("undo", third).code == 0
    assert (told(), rows()) == (("2025-01-17", "2025-01-16"), [("a", 10), ("b", 2)])
    assert phlo("undo", second).code == 0
    assert (told(), rows()) == (("2025-01-16", "2025-01-15"), [("a", 1), ("b", 2)])
    load("2025-01-16", 12)
    assert told() == ("2025-01-17", "2025-01-16")


def test_an_undo_that_is_refused_leaves_its_runs_as_made(project, phlo):
    first = phlo("materialize", "events", "--partition", "2025-01-15", "--json").json["run_id"]
    project.write("workflows/values.py", "VALUE = 10")
    phlo("materialize", "events", "--partition", "2025-01-16")
    assert phlo("undo", first).code == 1  # a later run stands on it
    (status,) = phlo("status", "--json").json
    assert (status["state"], status["partition"]) == ("ok", "2025-01-16")
    listed = phlo("status", "--missing", "--since", "2025-01-15", "--json").json
    assert listed[0]["partition"] == "2025-01-17"


def load(project, phlo, day, value, *options):
    project.write("workflows/values.py", f"VALUE = {value}")
    answer = phlo("materialize", "events", "--partition", day, "--json", *options)
    assert answer.code == 0, answer.err
    return answer.json["run_id"]


def told(phlo):
    """The partitions that were made since the 15th, and the state of the asset."""
    days = {f"2025-01-{day}" for day in range(15, 20)}
    listed = phlo("status", "--missing", "--since", "2025-01-15", "--json").json
    (status,) = phlo("status", "--json").json
    return days - {one["partition"] for one in listed}, status


def test_what_a_published_branch_made_counts_as_made(project, phlo):
    load(project, phlo, "2025-01-15", 1)
    assert phlo("branch", "create", "dev").code == 0
    undone = load(project, phlo, "2025-01-16", 5, "--branch", "dev")
    assert phlo("undo", undone, "--branch", "dev").code == 0
    run = load(project, phlo, "2025-01-17", 10, "--branch", "dev")
    on_branch = phlo("status", "--json", "--branch", "dev").json[0]
    logged = phlo("logs", "--run-id", run, "--branch", "dev", "--json").json
    # A branch on which only Dagster's pages ran has no index of the project.
    (project.root / ".phlo/branches/dev/project.json").unlink()
    for _ in range(2):  # a publish that is repeated finds all in place
        published = phlo("branch", "publish", "dev")
        assert (published.code, published.err) == (0, "")
        made, status = told(phlo)
        assert made == {"2025-01-15", "2025-01-17"}
        facts = ("state", "partition", "run_id", "made_at", "rows")
        assert [status[f] for f in facts] == ["ok", "2025-01-17", run, on_branch["made_at"], 2]
    assert phlo("logs", "--run-id", run, "--json").json == logged
    assert phlo("branch", "delete", "dev").code == 0
    assert phlo("undo", run).code == 0
    assert (told(phlo)[0], rows()) == ({"2025-01-15"}, [("a", 1), ("b", 2)])


def test_an_applied_plan_counts_as_made(project, phlo):
    load(project, phlo, "2025-01-15", 1)
    project.write("workflows/values.py", "VALUE = 3")
    made = phlo("plan", "events", "--partition", "2025-01-16", "--json").json
    assert told(phlo)[0] == {"2025-01-15"}
    assert phlo("apply", made["plan_id"]).code == 0
    assert told(phlo)[0] == {"2025-01-15", "2025-01-16"}
    assert told(phlo)[1]["run_id"] == made["run_id"]


def test_a_run_undone_on_a_branch_counts_as_missing_once_that_is_published(project, phlo):
    load(project, phlo, "2025-01-15", 1)
    second = load(project, phlo, "2025-01-16", 10)
    phlo("branch", "create", "dev")
    assert phlo("undo", second, "--branch", "dev").code == 0
    assert told(phlo)[0] == {"2025-01-15", "2025-01-16"}
    assert phlo("branch", "publish", "dev").code == 0
    assert (told(phlo)[0], rows()) == ({"2025-01-15"}, [("a", 1), ("b", 2)])


def test_what_a_branch_took_from_its_source_was_not_made_by_it(project, phlo):
    load(project, phlo, "2025-01-15", 1)
    phlo("branch", "create", "dev")
    load(project, phlo, "2025-01-16", 10, "--branch", "dev")
    assert phlo("branch", "update", "dev", "--take", "events").code == 0
    assert phlo("branch", "publish", "dev").code == 0
    assert (told(phlo)[0], rows()) == ({"2025-01-15"}, [("a", 1), ("b", 2)])
