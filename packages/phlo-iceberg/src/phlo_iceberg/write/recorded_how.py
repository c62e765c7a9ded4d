"""Record in a snapshot's summary how its load was written, so that it can be written again."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from phlo.names import Partition
from phlo.values import Append, Merge, Replace

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo.values import How

HOW_ENTRY = "phlo.how"


def how_entry(how: How) -> dict[str, str]:
    """Build the summary's entry that tells how a load was written."""
    values: dict[str, Any] = {"strategy": type(how).__name__.lower()}
    if how.partition is not None:
        values |= {"partition": how.partition.key, "days": how.partition.days}
    match how:
        case Merge():
            names = ("method", "order_by", "compares_metadata")
            values |= {name: getattr(how, name) for name in names}
            values |= {"key": list(how.key), "meets_deleted_keys": how.deleted is not None}
        case Append():
            values["on_rerun"] = how.on_rerun
        case Replace():
            pass
    return {HOW_ENTRY: json.dumps(values)}


def read_how(summary: Mapping[str, str]) -> tuple[How, bool] | None:
    """Read how a load was written, and whether it met keys that other loads had deleted.

    Returns:
        ``None`` for a snapshot of another writer, or of an older version.

    Example:
        >>> read_how(how_entry(Append(Partition.parse("2025-01-15"))))[0].partition.key
        '2025-01-15'
    """
    if HOW_ENTRY not in summary:
        return None
    values = json.loads(summary[HOW_ENTRY])
    partition = None
    if "partition" in values:
        partition = Partition(Partition.parse(values["partition"]).date, values["days"])
    match values["strategy"]:
        case "append":
            return Append(partition, values["on_rerun"]), False
        case "replace":
            return Replace(partition), False
    how = Merge(
        tuple(values["key"]),
        partition,
        method=values["method"],
        order_by=values["order_by"],
        compares_metadata=values["compares_metadata"],
    )
    return how, values["meets_deleted_keys"]
