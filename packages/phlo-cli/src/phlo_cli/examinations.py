"""Examinations of `phlo doctor` that look for trouble before it comes."""

from __future__ import annotations

import shutil
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from importlib import metadata
from typing import TYPE_CHECKING

from packaging.requirements import Requirement
from phlo.errors import UnsupportedCatalogError
from phlo.folders import BACKFILLS, LOCKS, RUNS, STAGING
from phlo.installing import install_command
from phlo.lake import open_lake
from phlo.locks import locked
from phlo.project import load_project
from phlo.protocols import KnowsCatalogTime
from phlo.words import counted

from phlo_cli.findings import Finding
from phlo_cli.load_errors import collected_errors
from phlo_cli.problems import find_problems
from phlo_cli.project_settings import require_project

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from phlo.branches import Branch

LEAST_FREE_MEGABYTES = 200
LITTLE_FREE_MEGABYTES = 2_000
MOST_SKEW_SECONDS = 30.0
OLD_BRANCH_DAYS = 30
_SHOWN = 5


def examine_versions() -> Finding | str:
    """Compare the installed versions with what phlo's distributions need."""
    names = sorted({d.name for d in metadata.distributions() if d.name.startswith("phlo-")})
    wrong = [text for name in names for text in _unfit(name)]
    if not wrong:
        return f"what {counted(len(names), 'package')} of phlo need is installed"
    return Finding("versions", "failed", _joined(wrong), install_command("--upgrade", *names))


def _unfit(name: str) -> Iterator[str]:
    for text in metadata.requires(name) or ():
        requirement = Requirement(text)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield f"{name} needs {requirement.name}, which is not installed"
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            yield f"{name} needs {requirement.name} {requirement.specifier}, not {version}"


def examine_checks() -> Finding | str:
    """Find checks over columns or types that their table will not have."""
    with collected_errors(is_shown=False):  # the examination of the project tells them
        project = load_project(require_project())
        problems = find_problems(project)
    if not problems:
        return "every check judges columns that its table has or will have"
    told = [f"{problem.owner}: {problem.message}" for problem in problems]
    return Finding("checks", "failed", _joined(told), problems[0].hint)


def examine_disk() -> Finding | str:
    """Compare the free space of the disk that holds `.phlo` with what loads may need."""
    folder = require_project().lake_dir
    folder = folder if folder.exists() else folder.parent
    megabytes = shutil.disk_usage(folder).free // 1_000_000
    text = f"{megabytes:,} MB are free where {folder} stands"
    if megabytes >= LITTLE_FREE_MEGABYTES:
        return text
    status = "failed" if megabytes < LEAST_FREE_MEGABYTES else "note"
    return Finding("disk", status, text, "`phlo maintain` removes what no snapshot needs.")


def examine_clock() -> Finding | str:
    """Compare this machine's clock with the catalog's, and with the newest snapshots."""
    require_project()
    store, now = open_lake().store, datetime.now(UTC)
    histories = [store.history(table) for table in store.list_tables()]
    newest = [snapshots[0].committed_at for snapshots in histories if snapshots]
    skews = [(at - now).total_seconds() for at in newest if at > now]
    if isinstance(store, KnowsCatalogTime) and (catalog_time := store.catalog_time()):
        skews.append((catalog_time - datetime.now(UTC)).total_seconds())
    worst = max(skews, key=abs, default=0.0)
    if abs(worst) <= MOST_SKEW_SECONDS:
        return "this machine's clock agrees with the catalog"
    side = "behind" if worst > 0 else "ahead of"
    return Finding(
        "clock",
        "failed",
        f"this machine's clock is {abs(worst):,.0f} s {side} the catalog or its newest snapshot; "
        "the load that began later by the clock wins",
        "Let the machines that write keep the same time (NTP).",
    )


def examine_locks() -> Finding | str:
    """Find marks of runs whose process is gone, and staging folders that nobody holds."""
    settings = require_project()
    state = settings.state_dir
    held = [path for path in _lock_files(state) if not _is_free(path)]
    dead = [path for path in RUNS.path(state).glob("*") if _is_free(path)]
    limit = datetime.now(UTC) - timedelta(days=settings.staging_keep_days)
    old = [p for p in STAGING.path(state).glob("*") if p.is_dir() and _is_older(p, limit)]
    found = [
        f"{counted(len(dead), 'run')} ended without a word" if dead else "",
        f"{counted(len(old), 'staging folder')} older than {settings.staging_keep_days} days"
        if old
        else "",
    ]
    if text := "; ".join(filter(None, found)):
        return Finding("locks", "note", text, "The next load or `phlo status` clears them away.")
    return f"{counted(len(held), 'lock')} held by what runs now" if held else "no lock is held"


def _lock_files(state: Path) -> Iterator[Path]:
    yield from RUNS.path(state).glob("*")
    yield from LOCKS.path(state).glob("*")
    yield from BACKFILLS.path(state).glob("*.lock")


def _is_free(path: Path) -> bool:
    try:
        with locked(path, timeout_seconds=0):
            return True
    except BlockingIOError:
        return False


def _is_older(path: Path, limit: datetime) -> bool:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, UTC) < limit
    except FileNotFoundError:  # its load has ended meanwhile
        return False


def examine_backfills() -> Finding | str:
    """Tell whether the last backfill left partitions that nobody makes."""
    from phlo_cli.backfill import BackfillStore

    settings = require_project()
    if not list(BACKFILLS.path(settings.state_dir).glob("*.json")):
        return "there was no backfill"
    last = BackfillStore(settings).last()
    lock = BACKFILLS.path(settings.state_dir) / f"{last.backfill_id}.lock"
    if not last.pending or not _is_free(lock):
        return "the last backfill is done" if not last.pending else "a backfill is going on"
    return Finding(
        "backfills",
        "note",
        f"the backfill {last.backfill_id} of {', '.join(last.assets)} left "
        f"{counted(len(last.pending), 'partition')} of {len(last.partitions)}",
        "phlo backfill --resume",
    )


def examine_branches() -> Finding | str:
    """Find plans that have expired, their branches, and branches that nobody published."""
    from phlo.branches import KeepsBranches

    from phlo_cli.branch_plans import BRANCH_PREFIX, read_plans

    settings, store = require_project(), open_lake().store
    plans = read_plans(settings)
    expired = [plan.plan_id for plan in plans if plan.is_expired]
    branches: list[Branch] = []
    if isinstance(store, KeepsBranches):
        with suppress(UnsupportedCatalogError):  # a REST catalog has none
            branches = [branch for branch in store.branches() if not branch.is_main]
    of_plans = {plan.branch for plan in plans}
    limit = datetime.now(UTC) - timedelta(days=OLD_BRANCH_DAYS)
    lost = [
        branch.name
        for branch in branches
        if branch.name.startswith(BRANCH_PREFIX) and branch.name not in of_plans
    ]
    old = [
        branch.name
        for branch in branches
        if branch.created_at is not None
        and branch.created_at < limit
        and not branch.name.startswith(BRANCH_PREFIX)
    ]
    found = [
        f"expired plans: {', '.join(expired)}" if expired else "",
        f"branches of plans that are no longer there: {', '.join(lost)}" if lost else "",
        f"branches older than {OLD_BRANCH_DAYS} days: {', '.join(old)}" if old else "",
    ]
    if text := "; ".join(filter(None, found)):
        return Finding("branches", "note", text, _branch_hint(expired, [*lost, *old]))
    return f"{counted(len(plans), 'plan')} waiting; branches: {len(branches)}"


def _branch_hint(plans: list[str], branches: list[str]) -> str:
    commands = [f"phlo plan discard {plan}" for plan in plans]
    return "; ".join([*commands, *(f"phlo branch delete {name}" for name in branches)][:_SHOWN])


def _joined(texts: Iterable[str]) -> str:
    shown = [text.removesuffix(".") for text in texts]
    more = f"; and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return "; ".join(shown[:_SHOWN]) + more
