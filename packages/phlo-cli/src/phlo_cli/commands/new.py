"""`phlo new`: add a source, check, model, mart, schedule or stack to a project."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import click

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from phlo_cli.output import Output
    from phlo_cli.project_index import IndexedAsset
    from phlo_cli.samples import Sample


@click.group(short_help="Add a source, check, model, mart, schedule or stack to this project.")
def new() -> None:
    """Add a source, check, model, mart, schedule, or a stack of services to this project.

    Nothing that is there already is changed.
    """


@new.command()
@click.argument("name")
@click.option(
    "--from",
    "origin",
    metavar="SAMPLE",
    help="File (CSV, JSON, JSON Lines, Parquet), http address, or table to guess the schema from.",
)
@click.option("--group", default="sources", show_default=True, help="Group of the asset.")
@click.option(
    "--key",
    "keys",
    metavar="COLUMN",
    multiple=True,
    help="Column whose values are unique; give it several times for columns that are so together.",
)
@output_options()
def source(
    name: str, origin: str | None, group: str, keys: tuple[str, ...], output: Output
) -> None:
    """Write schema, function and a test that passes for the source NAME.

    \b
    phlo new source orders --from data/orders.csv
    phlo new source users --from https://api.example.com/users
    phlo new source readings --from data/readings.csv --key meter --key day
    """  # noqa: D301 - click reads the backspace
    from phlo_cli.project_settings import require_project
    from phlo_cli.samples import read_sample
    from phlo_cli.source_code import function_code, schema_code, test_code

    _check_name(name)
    _check_name(group)
    root = require_project().project_dir
    sample = read_sample(origin) if origin else None
    if keys and sample is None:
        raise click.UsageError("--key names columns of a sample. Hint: add --from SAMPLE.")
    if keys and sample is not None:
        sample = _with_key(sample, keys)
    class_name = "".join(part.title() for part in name.split("_"))
    place = origin or f"the source of {name}"
    schema = schema_code(class_name, sample, place) if sample else _EMPTY_SCHEMA.format(class_name)
    files = {
        f"workflows/schemas/{name}.py": schema,
        f"workflows/ingestion/{group}/{name}.py": function_code(
            name, class_name, group, sample, place, root
        ),
        f"tests/test_{name}.py": test_code(name, class_name, group, sample),
    }
    following = f"phlo test && phlo materialize {name}"
    _write(root, files, output, following, _remarks(sample, name, has_key=bool(keys)))


def _with_key(sample: Sample, keys: tuple[str, ...]) -> Sample:
    """Return a sample whose rows are told apart by these columns.

    Raises:
        click.BadParameter: It has no such column, a row without a value there, or two rows with
            the same values.
    """
    from dataclasses import replace

    columns = {column.name: column for column in sample.columns}
    keyed = replace(sample, key=tuple(dict.fromkeys(keys)))
    for key in keyed.key:
        if key not in columns:
            raise click.BadParameter(
                f"{key!r} is none of {', '.join(columns)}.", param_hint="--key"
            )
        if columns[key].has_nulls:
            raise click.BadParameter(
                f"A row of the sample has no value in {key!r}; a key has one in every row. "
                "Hint: name another column.",
                param_hint="--key",
            )
    if repeated := keyed.repeated_key:
        raise click.BadParameter(
            f"Several rows of the sample have {_shown(repeated)}; all but one would be dropped. "
            "Hint: name the other columns that tell rows apart too, as in "
            "--key meter --key day.",
            param_hint="--key",
        )
    return keyed


def _shown(row: Mapping[str, object]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in row.items())


def _remarks(sample: Sample | None, name: str, *, has_key: bool) -> list[str]:
    """Return what to know of the code that was written from a sample."""
    if sample is None:
        return []
    remarks = []
    if repeated := sample.repeated_key:
        remarks.append(
            f"No column tells all rows apart: several have {_shown(repeated)}, and one of them "
            f"would be loaded. Correct unique_key in {name}.py."
        )
    elif len(sample.key) > 1 and not has_key:
        remarks.append(f"No column alone tells rows apart; {' and '.join(sample.key)} do together.")
    if sample.place == "address" and sample.paginator == "single_page":
        remarks.append(
            "Only one page is read, as the answer links to no next one. Has the API more? "
            f'Change "paginator" in {name}.py: see docs/how-to/load-an-api-with-pages.md.'
        )
    return remarks


@new.command()
@click.argument("table")
@output_options()
def check(table: str, output: Output) -> None:
    """Write a suite of checks for TABLE, to be added to.

    `phlo check TABLE --suggest` proposes checks for a table that has rows.
    """
    from phlo_cli.project_settings import require_project

    asset = str(_find_asset(table, output).table)
    name = asset.rpartition(".")[2]
    code = _CHECK.format(table=asset, name=name)
    files = {f"workflows/quality/{name}.py": code}
    _write(require_project().project_dir, files, output, f"phlo check {asset}")


@new.command()
@click.argument("name")
@click.option("--from", "table", metavar="TABLE", required=True, help="Table that it reads.")
@output_options()
def model(name: str, table: str, output: Output) -> None:
    """Write the dbt model NAME over a table, with its source and tests of its key."""
    from phlo_cli.project_settings import require_project

    _check_name(name)
    asset = _find_asset(table, output)
    found, settings = str(asset.table), require_project()
    dbt = "workflows/transforms/dbt"
    short = found.rpartition(".")[2]
    files = {
        f"{dbt}/models/{name}.sql": f"select *\nfrom {{{{ source('{name}_raw', '{short}') }}}}\n",
        f"{dbt}/models/{name}.yml": _model_properties(name, short, asset),
    }
    if not (settings.project_dir / dbt / "dbt_project.yml").exists():
        project = re.sub(r"\W", "_", settings.project_dir.name)
        project = project if project[:1].isalpha() else f"dbt_{project}"
        files[f"{dbt}/dbt_project.yml"] = _DBT_PROJECT.format(project=project)
    _write(settings.project_dir, files, output, f"phlo materialize {name}")


@new.command()
@click.argument("name")
@click.option("--from", "table", metavar="TABLE", help="Table to publish; NAME if not given.")
@output_options()
def mart(name: str, table: str | None, output: Output) -> None:
    """Write an asset that publishes a table to PostgreSQL as NAME."""
    from phlo_cli.project_settings import require_project

    _check_name(name)
    found = _find_asset(table or name, output).table
    files = {f"workflows/publishing/{name}.py": _MART.format(name=name, table=found)}
    _write(require_project().project_dir, files, output, f"phlo materialize publish_{name}")


@new.command()
@click.argument("name")
@click.option(
    "--select",
    "selection",
    metavar="ASSETS",
    required=True,
    help="What to make: an asset or table, with `+` behind for all that is made of it.",
)
@click.option(
    "--at",
    "time",
    metavar="HH:MM",
    default="06:00",
    show_default=True,
    callback=lambda _ctx, _option, text: _time_of_day(text),
    help="When, every day.",
)
@output_options()
def schedule(name: str, selection: str, time: tuple[int, int], output: Output) -> None:
    """Write the job NAME and a schedule that runs it every day; `phlo dev` has it on at once.

    Of tables that have a partition for each day it makes the day that has ended.

    \b
    phlo new schedule nightly --select orders+
    phlo new schedule nightly --select bronze.orders+ --at 03:30
    """  # noqa: D301 - click reads the backspace
    from phlo_cli.project_settings import require_project

    _check_name(name)
    asset = _find_asset(selection.rstrip("+"), output, needs_table=False)
    if asset.partitions and asset.partitions.cron_schedule.split()[1] == "*":
        raise click.BadParameter(
            f"{asset.key} has a partition for each hour; give its function a cron=.",
            param_hint="--select",
        )
    hour, minute = time
    form = _PARTITIONED_SCHEDULE if asset.partitions else _SCHEDULE
    code = form.format(
        name=name,
        key=asset.key,
        downstream="+" if selection.endswith("+") else "",
        hour=hour,
        minute=minute,
    )
    files = {f"workflows/schedules/{name}.py": code}
    _write(require_project().project_dir, files, output, "phlo dev")


def _time_of_day(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([01]?\d|2[0-3]):([0-5]\d)", text)
    if match is None:
        raise click.BadParameter(f"{text!r} is no time of day such as 06:30.")
    return int(match[1]), int(match[2])


def _model_properties(name: str, table: str, asset: IndexedAsset) -> str:
    """Return the source and the properties of a model, with tests of the columns that are its key.

    Columns that are unique together are tested to be there alone: dbt has no test for the rest.
    """
    text = _MODEL.format(name=name, table=table, key=asset.key)
    tests = "[not_null, unique]" if len(asset.unique_key) == 1 else "[not_null]"
    columns = [
        f"      - name: {column}\n        data_tests: {tests}\n" for column in asset.unique_key
    ]
    return text + ("    columns:\n" + "".join(columns) if columns else "")


def _find_asset(name: str, output: Output, *, needs_table: bool = True) -> IndexedAsset:
    """Find an asset by its key, table or function.

    Raises:
        AssetNotFoundError: The project has none of that name; proposes the nearest.
    """
    from phlo_cli.known_names import find_key, require_known
    from phlo_cli.known_project import read_project

    index = read_project(output)
    assets = {one.key: one for one in index.assets if one.table or not needs_table}
    key = find_key(name, index)
    if key is None or key not in assets:
        labels = [one.table or one.key for one in assets.values()]
        require_known(name, labels, "table" if needs_table else "asset")
        key = next(one.key for one in assets.values() if name in (one.table, one.key))
    return assets[key]


def _check_name(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise click.BadParameter(
            f"{name!r} is no name: small letters, digits and underscores, a letter first."
        )


@new.command()
@output_options()
def stack(output: Output) -> None:
    """Write what runs this project in containers: PostgreSQL, MinIO, Trino, Dagster, Superset.

    That is docker-compose.yml, a Makefile with up, down and rebuild, and deploy/ with the settings
    of each service.
    """
    from pathlib import Path

    from phlo_cli.project_settings import require_project

    folder = Path(__file__).parents[1] / "templates" / "stack"
    files = {
        str(file.relative_to(folder)): file.read_text()
        for file in sorted(folder.rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    _write(require_project().project_dir, files, output, "make up")


def _write(
    root: Path,
    files: Mapping[str, str],
    output: Output,
    following: str,
    remarks: Sequence[str] = (),
) -> None:
    """Write files, or none where one is in the way."""
    from phlo.errors import ConfigurationError

    there = [name for name in files if (root / name).exists()]
    if there:
        raise ConfigurationError(
            f"{root} has files that would be written: {', '.join(there)}.",
            hint="Choose another name, or move them away.",
        )
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    if output.as_json:
        output.json({"folder": str(root), "files": sorted(files), "remarks": list(remarks)})
        return
    for name in files:
        output.line(f"Wrote {name}")
    for remark in remarks:
        output.line(remark)
    output.line(f"Next: {following}")


_EMPTY_SCHEMA = '''\
"""What rows must look like."""

from datetime import datetime

import pandera.pandas as pa
from phlo.schemas import PhloSchema


class {0}(PhloSchema):
    """One row for each thing that happened."""

    id: str = pa.Field(unique=True)
    happened_at: datetime
'''
_CHECK = '''\
"""What {table} must look like before anybody sees a load."""

from phlo_quality import CountCheck, phlo_quality


@phlo_quality(table="{table}", checks=[CountCheck(min_count=1)])
def {name}_quality():
    """{table} has rows."""
'''
_MODEL = """\
version: 2

sources:
  - name: {name}_raw
    tables:
      - name: {table}
        meta:
          dagster_asset_key: "{key}"

models:
  - name: {name}
    description: Rows of {table}
"""
_DBT_PROJECT = """\
name: {project}
version: "1.0.0"
config-version: 2

# No profile: phlo brings its own.
models:
  {project}:
    +materialized: table
"""
_MART = '''\
"""Publish {table} to PostgreSQL."""

from phlo.publishing import publishing_asset

{name} = publishing_asset("{table}", name="publish_{name}")
'''
_PARTITIONED_SCHEDULE = '''\
"""Make the day that has ended, every day."""

from dagster import (
    DefaultScheduleStatus,
    build_schedule_from_partitioned_job,
    define_asset_job,
)

{name} = define_asset_job("{name}", selection='key:"{key}"{downstream}')
every_day = build_schedule_from_partitioned_job(
    {name},
    hour_of_day={hour},
    minute_of_hour={minute},
    default_status=DefaultScheduleStatus.RUNNING,
)
'''
_SCHEDULE = '''\
"""Make it anew every day."""

from dagster import DefaultScheduleStatus, ScheduleDefinition, define_asset_job
from phlo.config import config

{name} = define_asset_job("{name}", selection='key:"{key}"{downstream}')
every_day = ScheduleDefinition(
    job={name},
    cron_schedule="{minute} {hour} * * *",
    execution_timezone=config.timezone,
    default_status=DefaultScheduleStatus.RUNNING,
)
'''
