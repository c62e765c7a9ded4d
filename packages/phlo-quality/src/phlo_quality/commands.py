"""`phlo check`: judge a table now, or propose what to check of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import click
from phlo.checks import CheckStatus, Severity
from phlo.errors import ConfigurationError
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.project import load_project

from phlo_quality.suggest import suggest_suite

if TYPE_CHECKING:
    from phlo.checks import CheckResult
    from phlo.names import Partition
    from phlo.project import Project

_MARKS = {
    CheckStatus.PASSED: ("ok", "green"),
    CheckStatus.FAILED: ("failed", "red"),
    CheckStatus.SKIPPED: ("skipped", "yellow"),
    CheckStatus.COULD_NOT_RUN: ("could not run", "red"),
}


@click.command(short_help="Judge a table by its checks, or propose some.")
@click.argument("table")
@click.option(
    "--partition", "-p", metavar="DATE", help="Judge this partition alone, by its first day."
)
@click.option("--suggest", is_flag=True, help="Print a suite that the table as it is passes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.pass_context
def check(
    ctx: click.Context, table: str, partition: str | None, suggest: bool, as_json: bool
) -> None:
    """Judge TABLE, as it is published, by all its suites; no run is recorded.

    The exit code is 1 where a check of severity error failed or could not run.

    \b
    phlo check bronze.events
    phlo check events --partition 2025-01-15
    phlo check bronze.events --suggest
    """  # noqa: D301 - click reads the backspace
    project = load_project()
    name = TableName.parse(table, default_namespace="bronze")
    if suggest:
        click.echo(suggest_suite(name, open_lake()))
        return
    results = _judge(name, project, _partition(partition, name, project))
    _show(results, as_json=as_json)
    if any(_is_bad(result) for result in results):
        ctx.exit(1)


def _partition(key: str | None, table: TableName, project: Project) -> Partition | None:
    if key is None:
        return None
    from phlo_quality.asset_checks import named_partition  # Dagster; the whole table needs none

    return named_partition(key, table, project)


def _judge(table: TableName, project: Project, partition: Partition | None) -> list[CheckResult]:
    suites = project.suites_for(table)
    lake = open_lake()
    if suites or table not in project.tables:
        lake.store.load(table)  # a table that does not exist is told as such
    if not suites:
        raise ConfigurationError(
            f"No suite judges {table}.",
            expected=_judged_tables(project),
            hint=f"`phlo check {table} --suggest` proposes one.",
            table=table,
        )
    return [
        result
        for suite in suites
        for result in suite.evaluate(lake.engine, lake.store, partition=partition)
    ]


def _judged_tables(project: Project) -> str | None:
    tables = sorted({str(suite.table) for suite in project.suites})
    return f"one of {tables}" if tables else None


def _is_bad(result: CheckResult) -> bool:
    ended_badly = result.status in (CheckStatus.FAILED, CheckStatus.COULD_NOT_RUN)
    return ended_badly and result.severity is Severity.ERROR


def _show(results: list[CheckResult], *, as_json: bool) -> None:
    if as_json:
        facts = [asdict(result) | {"table": str(result.table)} for result in results]
        click.echo(json.dumps(facts, default=str, indent=2, ensure_ascii=False))
        return
    width = max(len(result.check) for result in results)
    for result in results:
        text, colour = _MARKS[result.status]
        mark = click.style(f"{text:<14}", fg=colour)
        click.echo(f"{mark}{result.check:<{width}}  {result.message}  [{result.scope}]")
        for row in result.sample[:5]:
            click.echo(" " * 16 + json.dumps(row, default=str, ensure_ascii=False))
