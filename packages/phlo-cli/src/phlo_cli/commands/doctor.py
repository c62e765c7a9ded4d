"""`phlo doctor`: whether this project can work, and what to do where it cannot."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import click
from phlo.errors import ConfigurationError, PhloError
from phlo.machine_errors import explain
from phlo.redaction import redact
from phlo.words import counted

from phlo_cli.findings import Finding
from phlo_cli.load_errors import collected_errors
from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo.lake import Lake
    from phlo.values import Damage, ProjectQuery, Repair, SqlFinding

    from phlo_cli.output import Output


_PROBLEMS = {"missing": "missing", "cut": "empty or cut short"}


@click.command(short_help="Find out whether this project can work.")
@click.option(
    "--fix",
    is_flag=True,
    help="Find tables again whose folder was moved or whose catalog is lost, go back where files "
    "are cut short; close .phlo and .env.",
)
@click.option("--deep", is_flag=True, help="Open every data file of every table.")
@output_options()
@click.pass_context
def doctor(ctx: click.Context, fix: bool, deep: bool, output: Output) -> None:
    """Examine the installation and this project, and say what to do about what is wrong.

    With --fix, tables of a project that was moved or copied are rewritten for where they stand now,
    and a lost catalog is rebuilt from the warehouse. A table with a missing or cut file goes back
    to the newest state that is whole; the snapshots lost by that are named. Nothing may be running
    meanwhile. The folder .phlo and the file .env are closed to other users.
    """
    with output.busy("Examining"):
        repaired = [*_close_to_others(), *_repair(deep=deep)] if fix else []
        looks = {**_EXAMINATIONS, "tables": partial(_store, deep=deep)}
        findings = [_examine(subject, look) for subject, look in looks.items()]
    findings = [*repaired, *findings]
    if output.as_json:
        output.json([asdict(finding) for finding in findings])
    else:
        for finding in _merged(findings):
            _print(finding, output)
    ctx.exit(FAILED if any(f.status == "failed" for f in findings) else DONE)


def _examine(subject: str, look: Callable[[], Finding | str]) -> Finding:
    try:
        found = look()
    except Exception as raised:  # noqa: BLE001 - whatever hinders a project is to be reported
        error = explain(raised)
        if isinstance(error, PhloError):
            return Finding(subject, "failed", redact(error.message), error.hint or "")
        return Finding(subject, "failed", redact(f"{type(error).__name__}: {error}"))
    return found if isinstance(found, Finding) else Finding(subject, "ok", found)


def _merged(findings: Sequence[Finding]) -> list[Finding]:
    """Tell what several examinations found once, with the subjects of all."""
    subjects: dict[tuple[str, str, str], list[str]] = {}
    for finding in findings:
        subjects.setdefault((finding.status, finding.message, finding.hint), []).append(
            finding.subject
        )
    return [
        Finding(", ".join(names), status, message, hint)  # pyright: ignore[reportArgumentType]
        for (status, message, hint), names in subjects.items()
    ]


def _print(finding: Finding, output: Output) -> None:
    mark = {"ok": "[green]✓[/]", "note": "[yellow]![/]", "failed": "[red]✗[/]"}[finding.status]
    from rich.markup import escape

    subject, *others = finding.subject.split(", ")
    output.console.print(f"{mark} {subject:<10} {escape(finding.message)}", soft_wrap=True)
    if finding.hint:
        output.line(f"             {finding.hint}", style="dim")
    if others:
        output.line(f"             The same of: {', '.join(others)}", style="dim")


def _close_to_others() -> list[Finding]:
    from phlo.folders import close_to_others, find_exposed_paths

    from phlo_cli.project_settings import require_project

    settings = require_project()
    exposed = find_exposed_paths(settings.lake_dir, settings.project_dir)
    for path in exposed:
        close_to_others(path)
    return [Finding("closed", "ok", f"{path} to other users") for path in exposed]


def _repair(*, deep: bool) -> list[Finding]:
    from phlo.lake import open_lake

    from phlo_cli.project_settings import require_project

    require_project()
    repairs = open_lake().store.repair(deep=deep)
    return [Finding("repaired", "ok", _describe(repair)) for repair in repairs]


def _describe(repair: Repair) -> str:
    text = f"{repair.table} ({repair.problem}) from {repair.restored_from}"
    if repair.problem != "damaged":
        return text
    lost = ", ".join(map(str, repair.lost_snapshots)) or "unknown"
    return f"{text}; lost snapshots: {lost}. Load their partitions again."


def _python() -> str:
    return f"{sys.version.split()[0]} at {sys.executable}"


def _plugins() -> Finding | str:
    from phlo.plugins import list_plugins

    plugins = list_plugins()
    off = [plugin.name for plugin in plugins if not plugin.is_enabled]
    text = f"{counted(len(plugins) - len(off), 'plugin')} loaded"
    if off:
        return Finding("plugins", "note", f"{text}; switched off: {', '.join(off)}")
    return text


def _settings() -> str:
    from phlo.config import load_settings
    from phlo.plugins import plugin_manager

    kinds = plugin_manager().hook.phlo_register_settings()
    for kind in kinds:
        load_settings(kind)
    return f"those of {counted(len(kinds), 'plugin')} are right"


def _project() -> str:
    from phlo.orchestration.assembly import build_definitions
    from phlo.project import load_project

    from phlo_cli.location import quiet_dagster
    from phlo_cli.project_settings import require_project

    quiet_dagster()
    with collected_errors(is_shown=False) as errors:
        project = load_project(require_project())
        graph = build_definitions(project).get_repository_def().asset_graph
    if errors:
        raise ConfigurationError("\n".join(errors))
    assets, checks = len(graph.materializable_asset_keys), len(graph.asset_check_keys)
    return f"{project.root}: {counted(assets, 'asset')}, {counted(checks, 'check')}"


def _runs() -> str:
    from phlo.orchestration.instance import open_instance

    from phlo_cli.project_settings import require_project

    with open_instance(require_project()) as instance:
        return f"{counted(instance.get_runs_count(), 'run')} kept in {instance.root_directory}"


def _store(*, deep: bool = False) -> Finding | str:
    from phlo.lake import open_lake

    from phlo_cli.project_settings import require_project

    require_project()
    store = open_lake().store
    repairs = [r for r in store.repair(dry_run=True) if r.problem != "damaged"]
    if repairs:
        return _displaced(repairs)
    tables = store.list_tables()
    if damages := [d for table in tables for d in store.examine(table, deep=deep)]:
        return _damaged(damages, deep=deep)
    return f"{counted(len(tables), 'table')} can be opened, all of their files are there"


def _damaged(damages: Sequence[Damage], *, deep: bool) -> Finding:
    named = "; ".join(f"{d.table}: {d.path} is {_PROBLEMS[d.problem]}" for d in damages[:5])
    more = f"; and {len(damages) - 5} more files" if len(damages) > 5 else ""
    return Finding(
        "tables",
        "failed",
        f"{named}{more}",
        "Restore the file from a backup, or stop whatever is running and let `phlo doctor --fix"
        f"{' --deep' if deep else ''}` go back to the newest state that is whole.",
    )


def _displaced(repairs: Sequence[Repair]) -> Finding:
    names = ", ".join(str(repair.table) for repair in repairs[:5])
    names += ", ..." if len(repairs) > 5 else ""
    if repairs[0].problem == "lost":
        text = f"the catalog is empty, but the warehouse holds {counted(len(repairs), 'table')}"
    else:
        text = f"{counted(len(repairs), 'table')} of a project that was moved or copied"
    return Finding(
        "tables",
        "failed",
        f"{text}: {names}",
        "Stop whatever is running, and let `phlo doctor --fix` find them again.",
    )


def _engine() -> Finding | str:
    from phlo.lake import open_lake
    from phlo.protocols import RemoteQueryEngine

    from phlo_cli.project_settings import require_project

    require_project()
    lake = open_lake()
    lake.engine.query("SELECT 1 AS one").read_all()
    if isinstance(lake.engine, RemoteQueryEngine) and (unseen := _unseen_table(lake)):
        return unseen
    return f"{lake.engine.dialect} answers"


def _unseen_table(lake: Lake) -> Finding | None:
    """Tell that an engine in other processes reads another catalog, by one table's snapshot."""
    from phlo.errors import QueryError, TableNotFoundError
    from phlo.sql import sql

    heads = ((table, lake.store.load(table).snapshot_id) for table in lake.store.list_tables())
    table, head = next(((t, s) for t, s in heads if s is not None), (None, None))
    if table is None:
        return None
    query = sql("SELECT 1 AS one FROM {t} WHERE 1 = 0", t=table)
    try:
        lake.engine.query(query, at={table: str(head)}).read_all()
    except (QueryError, TableNotFoundError) as error:
        return Finding(
            "engine",
            "failed",
            f"{lake.engine.dialect} does not see {table} as phlo's catalog has it. {error.message}",
            "Let the engine's catalog be the one that phlo writes, under the same name.",
        )
    return None


def _queries() -> Finding | str:
    from phlo.lake import open_lake
    from phlo.plugins import plugin_manager
    from phlo.project import load_project
    from phlo.protocols import SqlExaminer

    from phlo_cli.project_settings import require_project

    engine = open_lake().engine
    with collected_errors(is_shown=False):  # the examination of the project tells them
        project = load_project(require_project())
    handed_over = plugin_manager().hook.phlo_register_queries(project=project)
    queries = [query for part in handed_over for query in part]
    if not isinstance(engine, SqlExaminer):
        return f"{counted(len(queries), 'SQL statement')} not examined by this engine"
    findings = [(query, found) for query in queries for found in engine.examine(query)]
    if not findings:
        return f"{counted(len(queries), 'SQL statement')} answered alike by every engine"
    return _differing(findings, engine.dialect)


def _differing(findings: Sequence[tuple[ProjectQuery, SqlFinding]], dialect: str) -> Finding:
    """Fail where a query does not run here; elsewhere it is a note."""
    told = [
        f"{query.owner}: {found.construct}"
        f"{' is refused' if found.is_refused else ' may differ'} ({found.message})"
        for query, found in findings
    ]
    more = f"; and {len(told) - 10} more" if len(told) > 10 else ""
    is_broken = any(found.is_refused and query.dialect != dialect for query, found in findings)
    hint = next((found.hint for _, found in findings if found.hint), "")
    return Finding("queries", "failed" if is_broken else "note", "; ".join(told[:10]) + more, hint)


def _pages() -> Finding | str:
    from phlo.installing import install_command

    if find_spec("dagster_webserver") is None:
        return Finding(
            "pages",
            "note",
            "Dagster's web pages are not installed; only `phlo dev` needs them.",
            install_command("phlo-cli[dev]"),
        )
    return "Dagster's web pages are installed"


def _privacy() -> Finding | str:
    from phlo.folders import find_exposed_paths

    from phlo_cli.project_settings import require_project

    settings = require_project()
    exposed = find_exposed_paths(settings.lake_dir, settings.project_dir)
    if not exposed:
        return "nobody but you can read .phlo and .env"
    return Finding(
        "privacy",
        "failed",
        f"other users may open {' and '.join(path.name for path in exposed)}; "
        "they hold rows and secrets.",
        f"`phlo doctor --fix` closes them, as does `chmod go= {' '.join(map(str, exposed))}`.",
    )


def _later(name: str) -> Callable[[], Finding | str]:
    """Return an examination of :mod:`phlo_cli.examinations`, imported when it is carried out."""

    def look() -> Finding | str:
        from phlo_cli import examinations

        return getattr(examinations, f"examine_{name}")()

    return look


_EXAMINATIONS: dict[str, Callable[[], Finding | str]] = {
    "python": _python,
    "plugins": _plugins,
    "versions": _later("versions"),
    "settings": _settings,
    "project": _project,
    "runs": _runs,
    "tables": _store,
    "engine": _engine,
    "queries": _queries,
    "checks": _later("checks"),
    "disk": _later("disk"),
    "clock": _later("clock"),
    "locks": _later("locks"),
    "backfills": _later("backfills"),
    "branches": _later("branches"),
    "privacy": _privacy,
    "pages": _pages,
}
