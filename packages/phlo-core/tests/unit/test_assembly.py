"""Dagster objects of a project: what is taken, and what is named because it is not."""

import sys

import pytest
from dagster import DefaultSensorStatus
from phlo.errors import DuplicateAssetError, WorkflowImportError
from phlo.orchestration.assembly import build_resources

OWN = """
    import dagster as dg

    def make(number):
        @dg.asset(name=f"made_{number}", partitions_def=dg.DailyPartitionsDefinition("2025-01-01"))
        def one(): ...
        return one

    made = [make(n) for n in range(2)]
    by_name = {"third": make(3), "more": (make(4),)}
    part = dg.define_asset_job("part", selection="key:made_0")
    part_schedule = dg.build_schedule_from_partitioned_job(part, name="part_schedule")
"""
MANAGERS = """
    import dagster as dg

    class JsonIO(dg.ConfigurableIOManager):
        def handle_output(self, context, obj): ...
        def load_input(self, context): ...

    class PlainIO(dg.IOManager):
        def handle_output(self, context, obj): ...
        def load_input(self, context): ...

    json_io = JsonIO()
    plain_io = PlainIO()
"""


def test_collections_partitioned_schedules_and_io_managers_are_taken(phlo_project):
    phlo_project.write("workflows/own.py", OWN)
    phlo_project.write("workflows/resources/io.py", MANAGERS)
    repository = phlo_project.definitions().get_repository_def()
    keys = {key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()}
    assert keys == {"made_0", "made_1", "made_3", "made_4"}
    assert repository.has_schedule_def("part_schedule")
    assert {"json_io", "plain_io"} <= set(build_resources(phlo_project.load()))


FUNCTION = """
    import dagster as dg
    from dagster import fs_io_manager, multiprocess_executor

    @dg.definitions
    def defs():
        return dg.Definitions(assets=[dg.AssetSpec("of_function")])

    @dg.definitions
    def with_context(context: dg.ComponentLoadContext):
        return dg.Definitions()
"""


def test_functions_of_definitions_are_called_unless_they_take_a_context(phlo_project, caplog):
    phlo_project.write("workflows/own.py", FUNCTION)
    graph = phlo_project.definitions().get_repository_def().asset_graph
    assert {key.to_user_string() for key in graph.get_all_asset_keys()} == {"of_function"}
    ignored = [r.getMessage() for r in caplog.records if "is ignored" in r.getMessage()]
    (message,) = ignored  # imported executors and IO managers are not named
    assert "workflows/own.py:9: 'with_context' is ignored: it is a function of" in message


def test_what_is_not_taken_is_named_with_file_and_line(phlo_project, caplog):
    phlo_project.write("workflows/other.py", MANAGERS)
    phlo_project.definitions()
    assert "workflows/other.py:12: 'plain_io' is ignored: it is a resource" in caplog.text


CONDITION = """
    import dagster as dg

    @dg.asset(automation_condition=dg.AutomationCondition.eager())
    def eager(): ...
"""


def test_conditions_are_evaluated_as_soon_as_the_daemon_runs(phlo_project):
    phlo_project.write("workflows/own.py", CONDITION)
    repository = phlo_project.definitions().get_repository_def()
    (sensor,) = repository.sensor_defs
    assert sensor.default_status is DefaultSensorStatus.RUNNING


def test_an_installed_package_called_workflows_does_not_hide_the_project(phlo_project, tmp_path):
    site = tmp_path / "site"
    (site / "workflows").mkdir(parents=True)
    (site / "workflows" / "__init__.py").write_text("")
    sys.path.insert(0, str(site))
    try:
        phlo_project.write("workflows/own.py", "VALUE = 3")
        assert phlo_project.load().modules["workflows.own"].VALUE == 3
    finally:
        sys.path.remove(str(site))


@pytest.mark.parametrize("end", ["sys.exit(3)", "pytest.skip('x', allow_module_level=True)"])
def test_a_file_that_ends_the_import_is_named(phlo_project, end):
    phlo_project.write("workflows/own.py", f"import sys, pytest\n\n{end}\n")
    with pytest.raises(WorkflowImportError, match=r"workflows/own\.py:3 fails to import"):
        phlo_project.load()


def test_every_file_that_fails_to_import_is_told_once(phlo_project):
    phlo_project.write("workflows/a.py", "import nothing_like_that\n")
    phlo_project.write("workflows/b.py", "from workflows.a import x\n")
    phlo_project.write("workflows/c.py", "x = 1\ndef f(\n")
    phlo_project.write("workflows/d.py", "import os\ntoken = os.environ['NOWHERE_SET']\n")
    with pytest.raises(WorkflowImportError) as raised:
        phlo_project.load()
    text = str(raised.value)
    assert text.count("a.py:1 fails to import: ModuleNotFoundError") == 1
    assert text.count("c.py:2 fails to import: SyntaxError: ") == 1
    assert "(c.py, line 2): def f(\n" in text
    assert "Hint: Set NOWHERE_SET in the environment or in .env." in text
    assert "Hint: Install the package that brings 'nothing_like_that'" in text
    assert text.startswith("3 places under workflows/ fail to import.")


@pytest.mark.parametrize(
    ("call", "meant"),
    [
        ("def load(*, group, name): ...\nload(grup='a', name='b')", "group"),
        ("class Check:\n    def __init__(self, column): ...\nCheck(colum='a')", "column"),
        ("import dagster as dg\n@dg.asset(descripton='a')\ndef one(): ...", "description"),
    ],
)
def test_an_unknown_argument_is_answered_with_the_nearest(phlo_project, call, meant):
    phlo_project.write("workflows/a.py", call + "\n")
    with pytest.raises(WorkflowImportError) as raised:
        phlo_project.load()
    assert raised.value.hint == f"Did you mean {meant!r}?"


def test_all_that_have_one_name_are_told_with_file_and_line(phlo_project):
    code = """
        import dagster as dg

        @dg.asset
        def shop(): ...

        @dg.asset
        def price(): ...

        job = dg.define_asset_job("nightly", selection="shop")
        schedule = dg.ScheduleDefinition(name="every", job=job, cron_schedule="0 0 * * *")
        """
    for name in ("a", "b"):
        phlo_project.write(f"workflows/{name}.py", code)
    phlo_project.write("workflows/c.py", "from workflows.a import schedule")
    with pytest.raises(DuplicateAssetError) as raised:
        phlo_project.definitions()
    told = raised.value.message.replace(f"{phlo_project.root}/", "")
    assert told.splitlines() == [
        "Two assets have the key 'price': workflows/a.py:7 and workflows/b.py:7.",
        "Two assets have the key 'shop': workflows/a.py:4 and workflows/b.py:4.",
        "Two schedules or sensors have the name 'every': workflows/a.py:10 and workflows/b.py:10.",
        "Two jobs have the name 'nightly': workflows/a.py:9 and workflows/b.py:9.",
    ]
