"""`phlo postgres`: the server that marts are published to."""

from __future__ import annotations

import os
import subprocess

import click

from phlo_publishing.server import borrow, configured_address, embedded_server, program


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
    r"""Open psql on the published marts; ARGUMENTS are psql's own.

    \b
    phlo postgres psql -c "SELECT * FROM marts.daily_aggregates"
    """
    address = configured_address()
    done = subprocess.run(
        [program("psql"), *arguments],
        check=False,
        env=os.environ | address.libpq_environment(),
    )
    ctx.exit(done.returncode)
