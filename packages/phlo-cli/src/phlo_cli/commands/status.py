"""`phlo status`: how the assets are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo_cli.output import Output
    from phlo_cli.status import AssetState


@click.command(short_help="Show how the assets are: last run, freshness, rows, checks.")
@click.option("--stale", is_flag=True, help="Only assets older than their freshness allows.")
@click.option("--failed", is_flag=True, help="Only assets whose last run or check failed.")
@click.option("--group", metavar="NAME", help="Only assets of this group.")
@output_options()
def status(stale: bool, failed: bool, group: str | None, output: Output) -> None:
    """Show how the assets are: last run, freshness, rows, checks."""
    with output.busy("Loading the project"):
        from phlo_cli.location import open_location
        from phlo_cli.status import asset_states

        found = asset_states(open_location())
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
        empty="No asset is like that.",
    )


def _row(state: AssetState) -> dict[str, Any]:
    return {
        "asset": state.table or state.key,
        "group": state.group,
        "state": state.state,
        "made": state.made_at,
        "partition": state.partition,
        "freshness": state.freshness,
        "rows": state.rows,
        "checks": [f"{count} {words}" for words, count in state.checks.items()],
    }
