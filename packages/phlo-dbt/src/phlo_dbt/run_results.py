"""dbt's file of results, which says of every node how it ended."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from dbt_common.invocation import get_invocation_id

if TYPE_CHECKING:
    from collections.abc import Mapping

    from phlo_dbt.publishing import DbtOutcome
    from phlo_dbt.session import DbtSession

_FILE = "run_results.json"
_NOT_PUBLISHED = "the run ended before it was published"

logger = logging.getLogger(__name__)


def record_unpublished(session: DbtSession, outcome: DbtOutcome) -> None:
    """Say of nodes that were built and not published that they failed.

    ``dbt retry`` builds again what failed, and would leave them as they were published before.

    Args:
        session: The run, whose command has ended.
        outcome: What was published.
    """
    reasons = {
        unique_id: outcome.withheld.get(unique_id, _NOT_PUBLISHED)
        for unique_id in session.staged
        if unique_id not in outcome.published
    }
    if not reasons:
        return
    try:
        _write_failures(Path(session.config.project_target_path) / _FILE, reasons)
    except (OSError, ValueError):  # the others are published: nothing may fail any more
        logger.warning("%s could not be written.", _FILE, exc_info=True)


def _write_failures(file: Path, reasons: Mapping[str, str]) -> None:
    content = json.loads(file.read_text()) if file.exists() else {}
    if content.get("metadata", {}).get("invocation_id") != get_invocation_id():
        return  # of another command: this one wrote no results
    for result in content["results"]:
        if result["unique_id"] in reasons and result["status"] == "success":
            reason = reasons[result["unique_id"]]
            result |= {"status": "error", "message": f"not published: {reason}"}
    new = file.with_suffix(".new")
    new.write_text(json.dumps(content))
    new.replace(file)
