"""`phlo --help` and the hook specs touch no data library."""

import json
import shlex
import subprocess
import sys
from importlib.metadata import distributions
from pathlib import Path

import pytest

HEAVY = {
    "adbc_driver_postgresql", "dagster", "dbt", "dlt", "duckdb", "numpy", "pandas", "pandera",
    "polars", "pyarrow", "pydantic", "pydantic_settings", "pyiceberg", "rich", "sqlalchemy",
    "sqlglot", "trino", "yaml",
}  # fmt: skip

REPORT = (
    "import json, sys; print('LOADED', json.dumps(sorted({m.split('.')[0] for m in sys.modules})))"
)
HELP = f"""
from phlo_cli.main import main
try:
    main(["--help"])
except SystemExit as ended:
    assert ended.code == 0
{REPORT}
"""
LIST = HELP.replace('["--help"]', '["plugin", "list", "--json"]')


def loaded_by(code):
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    line = next(row for row in done.stdout.splitlines() if row.startswith("LOADED"))
    return set(json.loads(line.removeprefix("LOADED "))), done.stdout


@pytest.mark.parametrize(
    "code", [f"import phlo.hookspecs, phlo.plugins, phlo.values, phlo.errors\n{REPORT}", HELP, LIST]
)
def test_no_data_library_is_loaded(code):
    modules, _ = loaded_by(code)
    assert modules & HEAVY == set()


def test_help_names_the_commands_although_none_is_imported():
    modules, printed = loaded_by(HELP)
    assert "materialize" in printed
    assert "phlo_cli" in modules


def test_a_project_of_plain_assets_does_not_wait_for_dlt_and_dbt(phlo_project):
    phlo_project.write("workflows/plain.py", "import dagster\n\n@dagster.asset\ndef one(): ...\n")
    materialize = HELP.replace('["--help"]', '["materialize", "one", "--json"]')
    modules, printed = loaded_by(materialize)
    assert '"status": "success"' in printed
    assert modules & {"dlt", "dbt", "pandas", "pandera"} == set()


_HEAVY_TO_LOOK = {"dbt", "dlt", "pandas", "pandera", "requests", "workflows"}
LOOKING = {
    "query SELECT(1)": {"dagster"},
    "query 'SELECT * FROM bronze.orders'": {"dagster"},
    "catalog tables": {"dagster", "sqlglot"},
    "catalog describe bronze.orders": {"dagster", "sqlglot"},
    "status": {"dagster", "sqlglot"},
    "logs --asset orders": {"sqlglot"},
}
"""What a command that looks at a project must not import, where nothing changed since a run."""


@pytest.fixture(scope="module")
def loaded_project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looking")
    for arguments in ("init shop", "materialize orders --partition 2025-01-15"):
        command = [sys.executable, "-m", "phlo_cli", *arguments.split()]
        where = folder / "shop" if (folder / "shop").exists() else folder
        subprocess.run(command, cwd=where, check=True, capture_output=True)
    return folder / "shop"


@pytest.mark.parametrize("command", LOOKING)
def test_looking_imports_neither_what_makes_tables_nor_the_users_code(
    loaded_project, monkeypatch, command
):
    monkeypatch.delenv("PHLO_PROJECT_DIR")
    monkeypatch.chdir(loaded_project)
    modules, printed = loaded_by(
        HELP.replace('["--help"]', repr([*shlex.split(command), "--json"]))
    )
    assert modules & (_HEAVY_TO_LOOK | LOOKING[command]) == set()
    assert "2025-01-15" in printed or "orders" in printed or "SELECT(1)" in command


def test_no_distribution_ships_the_namespace_as_a_package():
    """A `phlo/__init__.py` would hide `phlo.publishing` in editable installs."""
    packages = Path(__file__).parents[2] / "packages"
    assert [str(p) for p in packages.glob("*/src/phlo/__init__.py")] == []
    shipped = [
        f for d in distributions() if (d.name or "").startswith("phlo") for f in d.files or []
    ]
    assert [str(f) for f in shipped if str(f) == "phlo/__init__.py"] == []
    import phlo

    assert phlo.__spec__.origin is None
