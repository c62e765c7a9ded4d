"""What plugins add to the loading of a project, and that core knows none of them."""

import re
from pathlib import Path

import phlo.project
import pytest
from phlo.errors import WorkflowImportError
from phlo.names import TableName
from phlo.orchestration.assembly import resolve_table
from phlo.plugins import hookimpl, plugin_manager
from phlo.values import TableAsset


class Plugin:
    """Excludes a folder, hints at one error, and knows one further name of a table."""

    @hookimpl
    def phlo_register_excluded_folders(self, settings):
        return [settings.workflows_dir / "foreign"]

    @hookimpl
    def phlo_provide_import_hint(self, error):
        return "Run it again." if str(error) == "of the plugin" else None

    @hookimpl
    def phlo_register_tables(self, project):
        return [TableAsset(TableName("bronze", "people"), ("people",))]

    @hookimpl
    def phlo_provide_named_table(self, table, project):
        people = TableName("bronze", "people")
        return people if table == TableName("everyone", "people") else None


@pytest.fixture
def plugin(phlo_project):
    manager = plugin_manager()
    manager.register(Plugin(), name="test")
    yield phlo_project
    manager.unregister(name="test")


def test_no_file_of_an_excluded_folder_is_imported(plugin):
    plugin.write("workflows/own.py", "x = 1")
    plugin.write("workflows/foreign/broken.py", "raise RuntimeError")
    assert list(plugin.load().modules) == ["workflows.own"]


def test_the_files_of_a_linked_folder_are_imported(phlo_project, tmp_path):
    shared = tmp_path / "shared"
    (shared / "deep").mkdir(parents=True)
    (shared / "deep/one.py").write_text("x = 1\n")
    phlo_project.write("workflows/own.py", "x = 1")
    (phlo_project.root / "workflows/team").symlink_to(shared)
    (shared / "around").symlink_to(phlo_project.root / "workflows")
    assert list(phlo_project.load().modules) == ["workflows.own", "workflows.team.deep.one"]


@pytest.mark.parametrize(
    ("message", "hint"),
    [("of the plugin", "Run it again."), ("of another", "Correct the file; `phlo doctor` ")],
)
def test_a_plugin_hints_at_the_errors_it_knows(plugin, message, hint):
    plugin.write("workflows/own.py", f"raise RuntimeError({message!r})")
    with pytest.raises(WorkflowImportError) as raised:
        plugin.load()
    assert raised.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("name", "table"),
    [
        ("bronze.people", "bronze.people"),
        ("everyone.people", "bronze.people"),
        ("other.people", "other.people"),
    ],
)
def test_a_plugin_resolves_further_names_of_tables(plugin, name, table):
    assert resolve_table(name, plugin.load()) == TableName.parse(table)


def test_a_dependency_that_is_no_name_of_a_table_is_left_alone(plugin):
    plugin.write(
        "workflows/own.py",
        """
        from dagster import asset


        @asset(deps=["a__b.c", "__x", "x__", "everyone__people"])
        def reader(): ...
        """,
    )
    graph = plugin.definitions().resolve_asset_graph()
    keys = {key.to_user_string() for key in graph.get_all_asset_keys()}
    assert keys >= {"reader", "a__b.c", "__x", "x__", "people"}


def test_core_names_no_plugin_but_in_advice():
    names = re.compile(r"phlo_(dbt|dlt|iceberg|publishing|cli|testing)|DagsterDbt|[\"']marts")
    folder = Path(phlo.project.__file__).parent
    # Installed, phlo-publishing's part of the namespace stands in the same folder.
    parts = {p: p.relative_to(folder).parts for p in folder.rglob("*.py")}
    files = [p for p in parts if not {"templates", "publishing"} & set(parts[p])]
    assert [str(p) for p in files if names.search(p.read_text())] == []
