"""`phlo publish`, and `phlo postgres`: the server that marts are published to."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING, cast

import click
from phlo.errors import AssetNotFoundError, nearest, one_of

from phlo_publishing.server import borrow, configured_address, embedded_server, program

if TYPE_CHECKING:
    from collections.abc import Sequence

    from phlo.project import Project

    from phlo_publishing.marts import PublishSpec


@click.group(short_help="Start, stop and look into the marts' server.")
def postgres() -> None:
    """Start, stop and look into the PostgreSQL server that marts are published to."""


@postgres.command(short_help="Start the project's own server, and keep it running.")
def start() -> None:
    """Start the project's own server, and keep it running for BI tools.

    Its password stands in .phlo/postgres/password.
    """
    from phlo.config import load_settings

    from phlo_publishing.settings import PostgresSettings

    server = embedded_server()
    address = borrow(server, load_settings(PostgresSettings).database, keep_running=True)
    click.echo(f"PostgreSQL runs at {address}; its password is in {server.folder / 'password'}.")


@postgres.command(short_help="Stop the project's own server.")
def stop() -> None:
    """Stop the project's own server; published tables stay, and the next publish starts it."""
    embedded_server().stop()
    click.echo("PostgreSQL is stopped.")


@postgres.command(
    short_help="Open psql on the published marts.",
    context_settings={"ignore_unknown_options": True},
)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@click.pass_context
def psql(ctx: click.Context, arguments: tuple[str, ...]) -> None:
    """Open psql on the published marts; ARGUMENTS are psql's own.

    \b
    phlo postgres psql -c "SELECT * FROM marts.daily_aggregates"
    """  # noqa: D301 - click reads the backspace
    address = configured_address()
    done = subprocess.run(
        [program("psql"), *arguments],
        check=False,
        env=os.environ | address.libpq_environment(),
    )
    ctx.exit(done.returncode)


@click.command(short_help="Publish marts to PostgreSQL, or show the plan.")
@click.argument("marts", nargs=-1)
@click.option("--dry-run", is_flag=True, help="Show what would be done, and change nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON on standard output.")
@click.pass_context
def publish(ctx: click.Context, marts: tuple[str, ...], dry_run: bool, as_json: bool) -> None:
    """Publish the MARTS that publishing_asset or a dbt model's meta declares; all without one.

    A name is that of the mart (marts.daily or daily), the published table or the asset. The assets
    run as `phlo materialize` runs them.

    \b
    phlo publish
    phlo publish daily_aggregates --dry-run
    """  # noqa: D301 - click reads the backspace
    from phlo.project import load_project

    from phlo_publishing.declaration import declared_specs

    project = load_project()
    specs = select_specs(declared_specs(project), marts)
    if dry_run:
        ctx.exit(_show_plans(project, specs, as_json=as_json))
    materialize = cast("click.Group", ctx.find_root().command).get_command(ctx, "materialize")
    assert materialize is not None
    arguments = [*(spec.name for spec in specs), *(["--json"] if as_json else [])]
    materialize.main(arguments, prog_name="phlo materialize")


def select_specs(specs: Sequence[PublishSpec], names: Sequence[str]) -> list[PublishSpec]:
    """Find the declarations that names mean; all of them for none.

    Raises:
        AssetNotFoundError: Nothing declared has a name; tells the nearest ones.
    """
    known = {name: spec for spec in specs for name in _names_of(spec)}
    unknown = [name for name in names if name not in known]
    if unknown or not specs:
        near = nearest(unknown[0], list(known)) if unknown else []
        raise AssetNotFoundError(
            f"Nothing declares that {unknown[0]!r} is published."
            if unknown
            else "Nothing declares that a mart is published.",
            expected=one_of(sorted(known), near) if known else "a declaration",
            hint=f"Did you mean {near[0]!r}?"
            if near
            else 'Declare it: publishing_asset("marts.daily"), or '
            "`meta: {phlo: {publish: true}}` on the dbt model.",
        )
    chosen = [known[name] for name in names] or list(specs)
    return list({spec.name: spec for spec in chosen}.values())


def _names_of(spec: PublishSpec) -> set[str]:
    marts = set(spec.tables.values())
    return {spec.name, *spec.tables, *marts, *(mart.split(".")[-1] for mart in marts)}


def _show_plans(project: Project, specs: Sequence[PublishSpec], *, as_json: bool) -> int:
    """Print what a publish would do; returns 1 where it would refuse a table."""
    from phlo.lake import open_lake

    from phlo_publishing.declaration import keys_of
    from phlo_publishing.postgres import PostgresResource
    from phlo_publishing.publish import plan_publish

    lake, postgres = open_lake(), PostgresResource()
    plans = [
        plan
        for spec in specs
        for plan in plan_publish(spec, lake.engine, postgres, lake.store, keys_of(spec, project))
    ]
    if as_json:
        click.echo(json.dumps([plan.as_dict() for plan in plans], indent=2, ensure_ascii=False))
    else:
        for line in (line for plan in plans for line in plan.lines()):
            click.echo(line)
    return int(any(plan.action == "refuse" for plan in plans))
