"""What made a test fail: its first rows and its SQL, for whoever has to mend it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from phlo.specs import relative_path

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from phlo_dbt.session import DbtSession

SHOWN_ROWS = 5
_SHOWN_CHARACTERS = 300


@dataclass(frozen=True)
class FailedTest:
    """A test of dbt that found rows.

    Attributes:
        name: The test.
        rows: The first of the rows that it found.
        file: Its compiled SQL; empty where dbt wrote none.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    file: str

    @property
    def lines(self) -> list[str]:
        """One line for each row, and one that names the SQL."""
        rows = [f"{self.name} found {_row_text(row)}" for row in self.rows]
        return [*rows, *([f"{self.name} ran {self.file}"] if self.file else [])]


def failed_tests(session: DbtSession, statuses: Mapping[str, str]) -> list[FailedTest]:
    """Read the rows that failed tests found, from what the run staged and published tables.

    Args:
        session: The run, whose scratch database is still open.
        statuses: How each node ended, by unique id.
    """
    failed = [uid for uid, status in statuses.items() if status == "fail"]
    nodes = {uid: session.manifest.nodes[uid] for uid in failed if uid in session.manifest.nodes}
    return [
        FailedTest(node.name, _found_rows(session, node), _sql_file(node))
        for node in nodes.values()
        if node.resource_type == "test"
    ]


def _found_rows(session: DbtSession, node: Any) -> list[dict[str, Any]]:
    if not node.compiled_code:
        return []
    return session.first_rows(node.compiled_code, SHOWN_ROWS)


def _sql_file(node: Any) -> str:
    return relative_path(node.build_path or node.compiled_path or "")


def _row_text(row: Mapping[str, Any]) -> str:
    text = ", ".join(f"{name}={value!r}" for name, value in row.items())
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[:_SHOWN_CHARACTERS]}..."
