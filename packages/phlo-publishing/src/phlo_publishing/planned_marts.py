"""Tell a plan of the lake what it would change in published tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.names import TableName
from phlo.values import PublishPlan

from phlo_publishing.declaration import keys_of
from phlo_publishing.postgres import PostgresResource
from phlo_publishing.publish import plan_publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo.project import Project
    from phlo.protocols import QueryEngine, TableStore

    from phlo_publishing.marts import PublishSpec
    from phlo_publishing.plan import MartPlan


def plan_marts(
    project: Project, store: TableStore, engine: QueryEngine, specs: Sequence[PublishSpec]
) -> list[PublishPlan]:
    """Find out what publishing declarations would do, and change nothing.

    Args:
        project: Knows the keys of marts.
        store: Has the marts.
        engine: Reads them.
        specs: The declarations.
    """
    plans: list[PublishPlan] = []
    for spec in specs:
        keys = keys_of(spec, project)
        planned = plan_publish(spec, engine, PostgresResource(), store, keys)
        plans += [
            _as_value(plan, keys, target) for target, plan in zip(spec.tables, planned, strict=True)
        ]
    return plans


def _as_value(plan: MartPlan, keys: Mapping[str, Sequence[str]], target: str) -> PublishPlan:
    return PublishPlan(
        TableName.parse(plan.source),
        plan.target,
        plan.action,
        plan.rows_before,
        plan.rows_after,
        plan.published_snapshot_id,
        tuple(keys.get(target, ())),
        plan.columns,
        plan.locks,
        plan.refused,
    )
