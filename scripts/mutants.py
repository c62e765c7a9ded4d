"""Mutate the modules that decide about data, and count the mutants that their tests kill.

By default a random sample of all modules, with its seed printed:

    python scripts/mutants.py --sample 30 --seed 7
    python scripts/mutants.py --changed main      # only modules that differ from a commit
    python scripts/mutants.py --sample 0          # whole: hours

Each module is mutated in a copy of its package that comes first on the path, so that the checkout
stays as it is, whatever ends the process. Survivors are printed as diffs.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult

ROOT = Path(__file__).parents[1]
UNIT = {name: f"packages/phlo-{name}/tests/unit" for name in ("core", "iceberg", "dlt")}
STORE = (f"{UNIT['iceberg']}/test_store.py", f"{UNIT['iceberg']}/test_store_properties.py")
LOADS = (f"{UNIT['dlt']}/test_load.py", f"{UNIT['dlt']}/test_strategies.py")
TESTS: dict[str, tuple[str, ...]] = {
    "packages/phlo-core/src/phlo/audit.py": (
        f"{UNIT['core']}/test_audit.py",
        f"{UNIT['dlt']}/test_asset.py",
    ),
    "packages/phlo-iceberg/src/phlo_iceberg/write/planner.py": (
        f"{UNIT['iceberg']}/test_planner.py",
        *STORE,
    ),
    "packages/phlo-iceberg/src/phlo_iceberg/write/matching.py": STORE,
    "packages/phlo-iceberg/src/phlo_iceberg/commit/rebase.py": STORE,
    "packages/phlo-iceberg/src/phlo_iceberg/commit/__init__.py": STORE,
    "packages/phlo-dlt/src/phlo_dlt/rows/conformer.py": (
        f"{UNIT['dlt']}/test_conformer.py",
        f"{UNIT['dlt']}/test_files.py",
    ),
    "packages/phlo-dlt/src/phlo_dlt/rows/judge.py": LOADS,
    "packages/phlo-dlt/src/phlo_dlt/rows/deduplicate.py": LOADS,
}
"""The tests that must notice a fault, by module."""

# `X | None` in annotations is never evaluated; exceptions and decorators are told by other means.
SKIPPED_OPERATORS = ("ReplaceBinaryOperator_BitOr", "RemoveDecorator", "ExceptionReplacer")


@dataclass(frozen=True)
class Score:
    """Mutants of one module."""

    module: str
    killed: int
    survivors: tuple[str, ...]


def main() -> int:
    """Run the mutants asked for; exit with 1 where fewer than the goal were killed."""
    arguments = _arguments()
    modules = _changed(arguments.changed) if arguments.changed else list(TESTS)
    print(f"seed {arguments.seed}, {len(modules)} modules", flush=True)
    scores = [_run(m, arguments.sample, arguments.seed) for m in modules]
    killed = sum(score.killed for score in scores)
    total = killed + sum(len(score.survivors) for score in scores)
    print(f"{killed} of {total} mutants killed ({killed / max(total, 1):.0%})")
    return 0 if killed >= arguments.goal * total else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sample", type=int, default=20, help="mutants per module; 0 is all")
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--changed", metavar="COMMIT", help="only modules that differ from it")
    parser.add_argument("--goal", type=float, default=0.85, help="share that must be killed")
    return parser.parse_args()


def _changed(commit: str) -> list[str]:
    diff = subprocess.run(
        ["git", "diff", "--name-only", commit], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [module for module in TESTS if module in diff.stdout.split()]


def _run(module: str, sample: int, seed: int) -> Score:
    with tempfile.TemporaryDirectory() as folder:
        source = (ROOT / module).parents[len(Path(module).parts) - 4]
        copy = Path(folder) / "src"
        shutil.copytree(source, copy)
        config, session = Path(folder) / "config.toml", Path(folder) / "session.sqlite"
        config.write_text(_config(copy / (ROOT / module).relative_to(source), TESTS[module]))
        environment = os.environ | {"PYTHONPATH": str(copy)}
        tool = str(Path(sys.executable).with_name("cosmic-ray"))
        for arguments in (["baseline", config], ["init", config, session]):
            subprocess.run([tool, *arguments], cwd=ROOT, env=environment, check=True)
        with use_db(str(session), WorkDB.Mode.open) as work:
            _choose(work, sample, seed)
        subprocess.run([tool, "exec", config, session], cwd=ROOT, env=environment, check=True)
        with use_db(str(session), WorkDB.Mode.open) as work:
            return _score(module, work)


def _config(mutated: Path, tests: tuple[str, ...]) -> str:
    command = f"{sys.executable} -m pytest -q -x -p no:cacheprovider {' '.join(tests)}"
    return f"""
[cosmic-ray]
module-path = "{mutated}"
timeout = 300.0
excluded-modules = []
test-command = "{command}"

[cosmic-ray.distributor]
name = "local"
"""


def _choose(work: WorkDB, sample: int, seed: int) -> None:
    """Mark all mutants as skipped but a random sample of those worth a run."""
    items = sorted(work.work_items, key=lambda item: item.mutations[0].start_pos)
    worthy = [item for item in items if not _is_skipped(item)]
    chosen = random.Random(seed).sample(worthy, min(sample or len(worthy), len(worthy)))
    ids = {item.job_id for item in chosen}
    others = [item.job_id for item in items if item.job_id not in ids]
    work.set_multiple_results(others, WorkResult(worker_outcome=WorkerOutcome.SKIPPED))


def _is_skipped(item: WorkItem) -> bool:
    return any(name in item.mutations[0].operator_name for name in SKIPPED_OPERATORS)


def _score(module: str, work: WorkDB) -> Score:
    results = [r for _, r in work.results if r.worker_outcome != WorkerOutcome.SKIPPED]
    survivors = tuple(r.diff or "" for r in results if r.test_outcome == TestOutcome.SURVIVED)
    killed = len(results) - len(survivors)
    print(f"{module}: {killed} of {len(results)} killed", flush=True)
    for diff in survivors:
        print(diff, flush=True)
    return Score(module, killed, survivors)


if __name__ == "__main__":
    sys.exit(main())
