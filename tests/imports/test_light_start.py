"""`phlo --help` and the hook specs touch no data library."""

import json
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
