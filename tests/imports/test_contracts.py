"""A violation of any import contract, and of the rules on private parts, is seen."""

import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONFIGURATION = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONTRACTS = [c["name"] for c in CONFIGURATION["tool"]["importlinter"]["contracts"]]
BANNED = list(CONFIGURATION["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-api"])

# By contract: a module, and a line in it that the contract forbids.
VIOLATIONS = {
    "Plugins never import one another": ("phlo_dlt/notes.py", "import phlo_quality.results"),
    "The command line reaches plugins by hooks alone": (
        "phlo_cli/output.py",
        "import phlo_quality.results",
    ),
    "Core imports no plugin": ("phlo/retry.py", "import phlo_quality.results"),
    "Core's front room imports neither wing": ("phlo/sql.py", "import phlo.contract.types"),
    "Rooms of phlo-iceberg stand on one another": (
        "phlo_iceberg/write/parquet.py",
        "import phlo_iceberg.commit.plan",
    ),
    "Rooms of phlo-dlt stand on one another": ("phlo_dlt/rows/plain.py", "import phlo_dlt.load"),
    "No cycles, type imports included": (
        "phlo_quality/results.py",
        "if TYPE_CHECKING:\n    from phlo_quality.suite import Suite",
    ),
}

# The copies are to be read, and not what the workspace has installed.
LINT = f"""
import sys
sys.path[:] = sys.argv[1:] + [p for p in sys.path if not p.startswith({str(ROOT / "packages")!r})]
from importlinter.cli import lint_imports
sys.exit(lint_imports(config_filename={str(ROOT / "pyproject.toml")!r}, no_cache=True))
"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """Copies of all packages' sources."""
    folder = tmp_path_factory.mktemp("sources")
    ignored = shutil.ignore_patterns("__pycache__", "templates")
    return [
        shutil.copytree(source, folder / source.parent.name, ignore=ignored)
        for source in sorted(ROOT.glob("packages/*/src"))
    ]


def broken_contracts(sources):
    command = [sys.executable, "-c", LINT, *map(str, sources)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    verdicts = [line.rsplit(" ", 1) for line in done.stdout.splitlines()]
    broken = {v[0] for v in verdicts if v[1:] == ["BROKEN"]}
    assert broken | {v[0] for v in verdicts if v[1:] == ["KEPT"]} == set(CONTRACTS), done
    return broken


@pytest.mark.parametrize("contract", CONTRACTS)
def test_a_violation_breaks_its_contract(contract, sources):
    module, line = VIOLATIONS[contract]
    (path,) = [source / module for source in sources if (source / module).exists()]
    text = path.read_text()
    path.write_text(f"{text}\n{line}\n")
    try:
        assert contract in broken_contracts(sources)
    finally:
        path.write_text(text)


def ruff(code):
    """Return the rules that code breaks as if it stood in a module of phlo-dlt, by line."""
    name = "packages/phlo-dlt/src/phlo_dlt/anything.py"
    command = ["ruff", "check", "--stdin-filename", name, "--output-format", "concise", "-"]
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=code,
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    rows = [line.split(":", 3) for line in done.stdout.splitlines() if line.startswith(name)]
    return {(int(row[1]), row[3].split()[0]) for row in rows}


def test_private_parts_of_libraries_are_refused_outside_of_their_room():
    parts = [banned.rpartition(".") for banned in BANNED]
    lines = [f"from {module} import {n}" if module else f"import {n}" for module, _, n in parts]
    broken = ruff("\n".join([*lines, "print(object()._private)"]))
    assert {n for n, rule in broken if rule == "TID251"} == set(range(1, len(BANNED) + 1))
    assert (len(BANNED) + 1, "SLF001") in broken
