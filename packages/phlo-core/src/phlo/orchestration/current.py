"""The step of Dagster that code is part of, for labels on work that runs elsewhere."""

from __future__ import annotations

from dagster import DagsterInvariantViolationError, OpExecutionContext


def current_step() -> dict[str, str]:
    """Return ``run`` and ``asset`` of the step that this code is part of; nothing outside of one.

    A step of several assets, or of none, is named after its op.
    """
    try:
        context = OpExecutionContext.get()
    except DagsterInvariantViolationError:
        return {}
    keys = context.selected_asset_keys if context.has_assets_def else ()
    name = next(iter(keys)).to_user_string() if len(keys) == 1 else context.op.name
    return {"run": context.run_id, "asset": name}
