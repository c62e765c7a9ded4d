"""Read the history of assets from the files of Dagster's history, without importing Dagster.

To import Dagster takes longer than all else that `phlo status` does. The files are Dagster's own,
and their schema is not public (since 1.0): whatever is not as expected, a run that goes on, or a
history in a database gives ``None``, and Dagster is asked. A test compares the two.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections import defaultdict
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from phlo.checks import CheckStatus
from phlo.folders import DAGSTER, RUNS
from phlo.undo import UNDONE_TAG

from phlo_cli.asset_history import AssetHistory
from phlo_cli.summary import CheckOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from phlo.config import Settings

    from phlo_cli.project_index import ProjectIndex

_UNUSUAL = (sqlite3.Error, OSError, ValueError, LookupError, TypeError, AttributeError)
_OTHER_STORAGE = re.compile(r"^(storage|\w+_storage|(custom_)?instance_class)\s*:", re.MULTILINE)
_GOING_ON = ("NOT_STARTED", "STARTING", "STARTED", "CANCELING")


def read_history_files(index: ProjectIndex, settings: Settings) -> dict[str, AssetHistory] | None:
    """Read the history of every asset of a project, by key.

    Args:
        index: What the project declares.
        settings: Those of the project.

    Returns:
        ``None`` where Dagster has to be asked.
    """
    if "DAGSTER_HOME" in os.environ or any(RUNS.path(settings.state_dir).glob("*")):
        return None
    home = DAGSTER.path(settings.state_dir)
    try:
        if _OTHER_STORAGE.search((home / "dagster.yaml").read_text()):
            return None
        events, runs = home / "history/runs/index.db", home / "history/runs.db"
        with closing(_connect(events)) as database:
            database.execute("ATTACH ? AS history", (_address(runs),))
            return None if _needs_dagster(database) else _histories(index, database)
    except _UNUSUAL:
        return None


def _address(file: Path) -> str:
    return f"{file.resolve().as_uri()}?mode=ro"


def _connect(file: Path) -> sqlite3.Connection:
    return sqlite3.connect(_address(file), uri=True)


def _needs_dagster(database: sqlite3.Connection) -> bool:
    """Return whether a run goes on or was undone, or something was wiped: then Dagster is asked."""
    questions: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("SELECT 1 FROM history.runs WHERE status IN (?, ?, ?, ?)", _GOING_ON),
        ("SELECT 1 FROM history.run_tags WHERE key = ? AND value = 'true'", (UNDONE_TAG,)),
        ("SELECT 1 FROM concurrency_slots WHERE run_id IS NOT NULL", ()),
        (
            "SELECT 1 FROM asset_keys "
            "WHERE asset_details IS NOT NULL OR wipe_timestamp IS NOT NULL",
            (),
        ),
    )
    return any(database.execute(text, values).fetchone() for text, values in questions)


def _histories(index: ProjectIndex, database: sqlite3.Connection) -> dict[str, AssetHistory]:
    statuses = dict(database.execute("SELECT run_id, status FROM history.runs"))
    entries = {
        key: (made, run_id)
        for key, made, run_id in database.execute(
            "SELECT asset_key, last_materialization, last_run_id FROM asset_keys"
        )
    }
    checks, partitions = _checks(database), _partitions(database)
    histories = {}
    for asset in index.assets:
        key = json.dumps(asset.key.split("/"))
        made, run_id = entries.get(key, (None, None))
        words = {name: word for name, word in checks[key].items() if name in asset.checks}
        is_judged = asset.fail_seconds is not None and asset.partitions is not None
        histories[asset.key] = AssetHistory(
            **_materialization(made),
            run_id=run_id if run_id in statuses else None,
            run_status=statuses.get(run_id),
            checks=words,
            partitions=frozenset(partitions[key]) if made and is_judged else frozenset(),
        )
    return histories


def _materialization(text: str | None) -> dict[str, Any]:
    if text is None:
        return {}
    entry = json.loads(text)["event_log_entry"]
    made = entry["dagster_event"]["event_specific_data"]["materialization"]
    values = {fact["label"]: fact["entry_data"] for fact in made["metadata_entries"]}
    rows = values.get("dagster/row_count", {}).get("value")
    return {
        "made_at": datetime.fromtimestamp(entry["timestamp"], UTC),
        "made_by": entry["run_id"],
        "partition": made["partition"],
        "row_count": rows if isinstance(rows, int) else None,
    }


def _checks(database: sqlite3.Connection) -> Mapping[str, Mapping[str, str]]:
    """Read how each check ended last, by asset and name."""
    newest = database.execute(
        "SELECT asset_key, check_name, execution_status, evaluation_event "
        "FROM asset_check_executions WHERE id IN "
        "(SELECT max(id) FROM asset_check_executions GROUP BY asset_key, check_name)"
    )
    words: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for key, name, status, event in newest:
        if status == "PLANNED" or event is None:
            words[key][name] = "not run"
        else:
            words[key][name] = _word(json.loads(event))
    return words


def _word(entry: dict[str, Any]) -> str:
    evaluation = entry["dagster_event"]["event_specific_data"]
    status = evaluation["metadata"].get("status", {}).get("text")
    plain = CheckStatus.PASSED if evaluation["success"] else CheckStatus.FAILED
    severity = evaluation["severity"]["__enum__"].partition(".")[2].lower()
    known = CheckStatus(status) if status in set(CheckStatus) else plain
    return CheckOutcome("", "", evaluation["check_name"], known, severity).word


def _partitions(database: sqlite3.Connection) -> Mapping[str, set[str]]:
    """Read the partitions that were ever made, by asset."""
    partitions: defaultdict[str, set[str]] = defaultdict(set)
    for key, partition in database.execute(
        "SELECT DISTINCT asset_key, partition FROM event_logs "
        "WHERE dagster_event_type = 'ASSET_MATERIALIZATION' AND partition IS NOT NULL"
    ):
        partitions[key].add(partition)
    return partitions
