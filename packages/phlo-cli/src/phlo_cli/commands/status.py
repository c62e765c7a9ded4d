"""`phlo status`: how the assets are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from datetime import datetime

    from phlo_cli.output import Output
    from phlo_cli.status import AssetState


@click.command(short_help="Show how the assets are: last run, freshness, rows, checks.")
@click.option("--stale", is_flag=True, help="Only assets older than their freshness allows.")
@click.option("--failed", is_flag=True, help="Only assets whose last run or check failed.")
@click.option("--group", metavar="NAME", help="Only assets of this group.")
@click.option(
    "--missing", is_flag=True, help="List partitions never made, or made before they ended."
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="DATE",
    help="With --missing: the first day that counts; the first that was ever made if not given.",
)
@output_options()
def status(
    stale: bool,
    failed: bool,
    group: str | None,
    missing: bool,
    since: datetime | None,
    output: Output,
) -> None:
    """Show how the assets are: last run, freshness, rows, checks."""
    if missing:
        _show_missing(group, since, output)
        return
    if since is not None:
        raise click.UsageError("--since goes with --missing.")
    with output.busy("Loading the project"):
        found = _states(output)
    if group is not None:
        from phlo_cli.known_names import require_known

        require_known(group, [state.group for state in found], "group")
    states = [
        state
        for state in found
        if (not stale or state.freshness in ("late", "stale"))
        and (not failed or state.has_failed)
        and group in (None, state.group)
    ]
    if output.as_json:
        output.json([state.as_dict() for state in states])
        return
    output.rows(
        [_row(state) for state in states],
        columns=("asset", "group", "state", "made", "partition", "freshness", "rows", "checks"),
        right=("rows",),
        spare=("partition", "group", "freshness"),
        empty=_nothing(stale=stale, failed=failed, any_asset=bool(found)),
    )


def _states(output: Output) -> list[AssetState]:
    from phlo_cli.known_project import read_project
    from phlo_cli.project_settings import require_project

    index, settings = read_project(output), require_project()
    from phlo_cli.history_files_private import read_history_files
    from phlo_cli.status import asset_states, states_of

    history = read_history_files(index, settings)
    if history is not None:
        return states_of(index, history)
    from phlo.orchestration.instance import open_instance

    from phlo_cli.liveness import end_abandoned_runs

    with open_instance(settings) as instance:
        end_abandoned_runs(settings, instance)
        return asset_states(index, instance)


def _nothing(*, stale: bool, failed: bool, any_asset: bool) -> str:
    """Say what it means that no asset is listed."""
    if not any_asset:
        return "The project has no asset yet. `phlo new source NAME` writes one."
    if stale and failed:
        return "No asset is stale and failed."
    return "No asset is stale." if stale else "No asset failed."


def _show_missing(group: str | None, since: datetime | None, output: Output) -> None:
    from phlo_cli.known_project import read_project
    from phlo_cli.project_settings import require_project

    with output.busy("Loading the project"):
        index = read_project(output)
        from phlo.orchestration.instance import open_instance

        from phlo_cli.missing import find_missing_in_index

        if group is not None:
            from phlo_cli.known_names import require_known

            require_known(group, [asset.group for asset in index.assets], "group")
        assets = [asset for asset in index.assets if group in (None, asset.group)]
        with open_instance(require_project()) as instance:
            found = find_missing_in_index(assets, instance, since.date() if since else None)
    output.rows(
        [
            one.as_dict() | {"asset": one.asset if output.as_json else one.table or one.asset}
            for one in found
        ],
        columns=("asset", "partition", "ended_at", "made_at"),
        empty="No partition is missing.",
    )


def _row(state: AssetState) -> dict[str, Any]:
    return {
        "asset": state.table or state.key,
        "group": state.group,
        "state": _state_text(state),
        "made": state.made_at,
        "partition": state.partition,
        "freshness": state.freshness,
        "rows": state.rows,
        "checks": [f"{count} {words}" for words, count in state.checks.items()],
    }


def _state_text(state: AssetState) -> str:
    if state.state != "ok" or not state.newer:
        return state.state
    verb = "is" if len(state.newer) == 1 else "are"
    return f"out of date: {', '.join(state.newer)} {verb} newer"
