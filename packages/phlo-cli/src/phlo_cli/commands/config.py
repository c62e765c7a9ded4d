"""`phlo config`: settings as they are in force; secrets are never shown."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click
from phlo.env_file import is_from_env_file
from phlo.errors import nearest

from phlo_cli.main import DONE, FAILED
from phlo_cli.output import output_options

if TYPE_CHECKING:
    from pydantic.fields import FieldInfo
    from pydantic_settings import BaseSettings

    from phlo_cli.output import Output

_MASK = "********"


@click.group()
def config() -> None:
    """See the settings in force, and whether they are right."""


@config.command()
@click.argument("prefix", required=False)
@output_options()
def show(prefix: str | None, output: Output) -> None:
    """Show every setting: its value, where that comes from, and what it means.

    PREFIX shows only settings whose variable begins so, such as PHLO_DLT. Secrets are masked.
    """
    rows = [row for kind in _classes() for row in _settings(kind)]
    wanted = [row for row in rows if row["variable"].startswith((prefix or "").upper())]
    if not wanted:
        from phlo_cli.known_names import require_known

        require_known((prefix or "").upper(), [row["variable"] for row in rows], "setting")
    output.rows(
        wanted,
        columns=("variable", "value", "source", "description"),
        spare=("description", "source"),
        empty="",
    )


@config.command()
@output_options()
@click.pass_context
def validate(ctx: click.Context, output: Output) -> None:
    """Check the settings of every plugin, and names in .env that no plugin knows."""
    problems = [*_wrong(), *_unknown()]
    if output.as_json:
        output.json({"is_ok": not problems, "problems": problems})
    else:
        for problem in problems:
            output.line(problem, style="red")
        if not problems:
            output.line("The settings are right.")
    ctx.exit(FAILED if problems else DONE)


def _classes() -> list[type[BaseSettings]]:
    from phlo.plugins import plugin_manager

    kinds = plugin_manager().hook.phlo_register_settings()
    return sorted(kinds, key=lambda kind: kind.model_config.get("env_prefix", ""))


def _settings(kind: type[BaseSettings]) -> list[dict[str, Any]]:
    from phlo.config import load_settings

    values = load_settings(kind)
    return [
        {
            "variable": (variable := _variable(kind, name)),
            "value": _shown(getattr(values, name), field),
            "source": _source(variable, name in values.model_fields_set),
            "description": field.description,
        }
        for name, field in kind.model_fields.items()
    ]


def _variable(kind: type[BaseSettings], name: str) -> str:
    return f"{kind.model_config.get('env_prefix', '')}{name}".upper()


def _shown(value: Any, field: FieldInfo) -> str | None:
    """Format a value, masked where its type or its name says that it is secret."""
    if value is None:
        return None
    if is_secret(field, str(value)):
        return _MASK
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def is_secret(field: FieldInfo, value: str) -> bool:
    """Return whether a setting is secret: by its type, or as an address with a password."""
    return "Secret" in str(field.annotation) or bool(_password_in(value))


def _password_in(value: str) -> str | None:
    from urllib.parse import urlsplit

    try:
        return urlsplit(value).password
    except ValueError:  # no address at all
        return None


def _source(variable: str, is_set: bool) -> str:
    if not is_set:
        return "default"
    names = [name for name in os.environ if name.upper() == variable]
    return "environment" if any(not is_from_env_file(name) for name in names) else ".env"


def _wrong() -> list[str]:
    from phlo.config import load_settings
    from phlo.errors import ConfigurationError

    problems: list[str] = []
    for kind in _classes():
        try:
            load_settings(kind)
        except ConfigurationError as error:
            problems.append(error.message)
    return problems


def _unknown() -> list[str]:
    """Return variables of phlo in .env that no installed plugin reads: most are misspelt."""
    from dotenv import dotenv_values
    from phlo.env_file import find_project_dir

    known = [_variable(kind, name) for kind in _classes() for name in kind.model_fields]
    set_here = [n for n in dotenv_values(find_project_dir() / ".env") if n.startswith("PHLO_")]
    problems: list[str] = []
    for name in set_here:
        if name.upper() not in known:
            near = nearest(name, known)
            hint = f" Did you mean {near[0]}?" if near else ""
            problems.append(f"No installed plugin reads {name} (.env).{hint}")
    return problems
