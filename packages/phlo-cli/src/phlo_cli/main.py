"""The `phlo` command: a group whose commands are imported when they are run."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import io
import json
import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import click
from phlo import errors
from phlo.errors import PhloError, PluginError, nearest
from phlo.interrupts import leave_now
from phlo.machine_errors import explain
from phlo.plugins import plugin_manager
from phlo.redaction import install_redaction, redact

from phlo_cli.branch_option import add_branch_option
from phlo_cli.garbage import collect_rarely
from phlo_cli.signals import watch_ending_signals

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DONE, FAILED, USAGE, NOTHING_TO_DO = 0, 1, 2, 3
"""Exit codes: all went well, a run or check failed, wrong use, a plan that changes nothing."""


@dataclass(frozen=True)
class LazyCommand:
    """A command that is known by name and help until somebody runs it."""

    target: str
    short_help: str

    def load(self) -> click.Command:
        """Import the command; it gets ``--branch``, and its options refuse empty values."""
        module, _, attribute = self.target.partition(":")
        command = getattr(importlib.import_module(module), attribute)
        add_branch_option(command)
        refuse_empty_options(command)
        return command


class LazyGroup(click.Group):
    """A group that imports a command's module when the command is run.

    Help lists commands by the text that came with them, so it imports none.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy: dict[str, LazyCommand] = {}

    def add_lazy(self, name: str, target: str, short_help: str) -> None:
        """Add a command by the place of its definition.

        Args:
            name: What people type.
            target: ``module:attribute`` of a click command.
            short_help: One line for the list of commands.

        Raises:
            PluginError: Another plugin has a command of that name.
        """
        if name in self._lazy or name in self.commands:
            raise PluginError(
                f"Two plugins bring the command `phlo {name}`.",
                hint="Switch one of them off with PHLO_DISABLED_PLUGINS.",
                command=name,
            )
        self._lazy[name] = LazyCommand(target, short_help)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """List the names of all commands, sorted."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the command of that name."""
        lazy = self._lazy.get(cmd_name)
        return lazy.load() if lazy else super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command; a name that is none is answered with the nearest ones."""
        name = args[0]
        if not ctx.resilient_parsing and name not in self.list_commands(ctx):
            known = self.list_commands(ctx)
            ctx.fail(f"No such command {name!r}.{_elsewhere(name, known) or _nearest(name, known)}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands without importing them."""
        rows = [(name, self._short_help(ctx, name)) for name in self.list_commands(ctx)]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)

    def _short_help(self, ctx: click.Context, name: str) -> str:
        if name in self._lazy:
            return self._lazy[name].short_help
        command = super().get_command(ctx, name)
        return command.get_short_help_str() if command else ""


def refuse_empty_options(command: click.Command) -> None:
    """Make an empty value of an option a wrong use, in a command and all below it.

    ``--partition "$DAY"`` must not mean today where the variable is empty.
    """
    if isinstance(command, click.Group):
        for inner in command.commands.values():
            refuse_empty_options(inner)
    for option in command.params:
        if isinstance(option, click.Option) and not isinstance(option.callback, _RefuseEmpty):
            option.callback = _RefuseEmpty(option.callback)


@dataclass(frozen=True)
class _RefuseEmpty:
    """A callback of an option that refuses the empty text before its own callback is called."""

    callback: Callable[[click.Context, click.Parameter, Any], Any] | None

    def __call__(self, ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        if isinstance(value, str) and not value.strip():
            raise click.BadParameter("the value is empty. Is a variable empty?", ctx, param)
        return self.callback(ctx, param, value) if self.callback else value


_WORDS_OF_OTHERS = {
    "run": "phlo materialize NAME",
    "build": "phlo materialize NAME",
    "load": "phlo materialize NAME",
    "seed": "phlo dbt seed",
    "snapshot": "phlo dbt snapshot",
    "compile": "phlo dbt compile",
    "ls": "phlo status, for tables phlo catalog tables",
    "list": "phlo status, for tables phlo catalog tables",
    "tables": "phlo catalog tables",
    "assets": "phlo status",
    "docs": "phlo dev, whose pages show assets, columns and lineage",
    "ui": "phlo dev",
    "serve": "phlo dev",
    "start": "phlo dev",
    "webserver": "phlo dev",
    "schedule": "phlo dev, for another schedule phlo new schedule",
    "show": "phlo query, for a table's columns phlo catalog describe",
    "sql": "phlo query",
    "fetchdf": "phlo query",
    "debug": "phlo doctor",
    "info": "phlo doctor",
    "validate": "phlo check TABLE",
    "audit": "phlo check TABLE",
    "history": "phlo catalog history TABLE",
    "create": "phlo new, for a project phlo init",
    "generate": "phlo new",
    "install": "phlo doctor, which says what is missing",
}
"""What people type who come from dbt, Dagster, SQLMesh or Meltano."""


def _elsewhere(name: str, known: Sequence[str]) -> str:
    """Return the command that does what a word of another tool asks for."""
    words = _WORDS_OF_OTHERS.get(name, "")
    return f" Here it is: {words}." if words and words.split()[1].strip(",") in known else ""


def _nearest(name: str, known: Sequence[str]) -> str:
    near = nearest(name, known)
    return f" Did you mean {' or '.join(near)}?" if near else " `phlo --help` lists them."


def build_cli() -> click.Group:
    """Build the root group with the commands of all plugins."""

    @click.group(
        cls=LazyGroup,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        epilog="`phlo COMMAND --help` says more about each.",
    )
    @click.version_option(package_name="phlo-cli", prog_name="phlo")
    @click.option("--verbose", "-v", is_flag=True, help="Show tracebacks and all that is logged.")
    @click.pass_context
    def phlo(ctx: click.Context, verbose: bool) -> None:
        """Tables that are always right: load, check, model, publish."""
        ctx.obj = {"verbose": verbose}

    plugin_manager().hook.phlo_register_commands(group=phlo)
    return phlo


def main(arguments: Sequence[str] | None = None) -> None:
    """Run `phlo` and leave the process with its exit code: after a signal 128 and its number."""
    os.environ.setdefault("DAGSTER_DISABLE_TELEMETRY", "yes")
    # `import pandera as pa` is a supported way to write schemas, not worth a notice per run.
    os.environ.setdefault("DISABLE_PANDERA_IMPORT_WARNING", "True")
    collect_rarely()
    atexit.register(gc.freeze)  # a last look at its end would take half a second
    atexit.register(_drop_unwritten)
    install_redaction()
    with watch_ending_signals() as first_signal:
        try:
            _run(arguments)
        except SystemExit as ended:
            number = first_signal()
            if number is None or ended.code in (None, DONE):
                raise
            leave_now(128 + number)


def _drop_unwritten() -> None:
    """Drop what an output did not take, which was told as an error.

    Python would try to write it once more at its end, and change the exit code to 120.
    """
    try:
        sys.stdout.flush()
    except (AttributeError, OSError, ValueError):  # there is no output, or it is full or closed
        with contextlib.suppress(AttributeError, OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _run(arguments: Sequence[str] | None) -> None:
    """Run the command, and raise ``SystemExit`` with its code."""
    words = set(sys.argv[1:] if arguments is None else arguments)
    is_verbose, as_json = bool({"--verbose", "-v"} & words), "--json" in words
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that lacks a sign is no failure
    try:
        _invoke(arguments, as_json)
    except Exception as raised:  # noqa: BLE001 - told as every error is
        _show_traceback(is_verbose)
        _tell(explain(raised), is_verbose=is_verbose, as_json=as_json)


def _tell(error: Exception, *, is_verbose: bool, as_json: bool) -> NoReturn:
    """Say why a command failed; what phlo did not foresee has no remedy but a traceback."""
    if isinstance(error, errors.TableNotFoundError):
        from phlo_cli.unloaded_tables import explain_missing_table

        error = explain_missing_table(error)
    if isinstance(error, PhloError):
        _fail(redact(str(error)), type(error).__name__, exit_code(error), as_json)
    message = redact(f"{type(error).__name__}: {error}")
    hint = "" if is_verbose else "\n\nHint: --verbose shows where."
    _fail(message + hint, type(error).__name__, FAILED, as_json)


def _show_traceback(is_verbose: bool) -> None:
    """Print where the error that is being handled comes from, without secrets."""
    if is_verbose:
        sys.excepthook(*sys.exc_info())  # pyright: ignore[reportArgumentType] - there is an error


def _invoke(arguments: Sequence[str] | None, as_json: bool) -> None:
    """Run the command; with ``--json`` a wrong use is told as JSON too."""
    if not as_json:
        build_cli()(arguments, prog_name="phlo")
        return
    try:
        sys.exit(build_cli().main(arguments, prog_name="phlo", standalone_mode=False) or DONE)
    except click.Abort:
        _fail("Canceled.", "Abort", FAILED, as_json)
    except click.ClickException as error:
        _fail(error.format_message(), type(error).__name__, error.exit_code, as_json)


def _fail(message: str, name: str, code: int, as_json: bool) -> NoReturn:
    """Say why a command failed, for programs on standard output too, and leave with its code."""
    with contextlib.suppress(OSError, ValueError):  # an output that is full or closed
        click.echo(f"Error: {message}", err=True)
    if as_json:
        with contextlib.suppress(OSError, ValueError):
            click.echo(json.dumps({"error": {"type": name, "message": message}}, indent=2))
    sys.exit(code)


def exit_code(error: PhloError) -> int:
    """Return 2 where the command was used wrongly, 1 where its work failed.

    >>> exit_code(PhloError("The source is gone."))
    1
    """
    used_wrongly = (
        errors.AssetNotFoundError,
        errors.BranchNotFoundError,
        errors.InvalidPartitionError,
        errors.PlanNotFoundError,
        errors.QueryError,
        errors.RunNotFoundError,
        errors.TableNotFoundError,
    )
    return USAGE if isinstance(error, used_wrongly) else FAILED
