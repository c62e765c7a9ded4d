"""Plans: what a run on a branch of its own would change, kept until it is applied."""

from __future__ import annotations

import json
import uuid
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from phlo.errors import PlanError, PlanNotFoundError
from phlo.folders import PLANS, make_folder
from phlo.locks import write_whole
from phlo.names import TableName
from phlo.words import counted

from phlo_cli.shown import Shown, ShownTable

if TYPE_CHECKING:
    from pathlib import Path

    from phlo.config import Settings

BRANCH_PREFIX = "plan-"
_TIMESTAMP = "__timestamp__"


@dataclass(frozen=True, repr=False)
class BranchPlan(Shown):
    """A run that was carried out on a branch of its own.

    Attributes:
        plan_id: The plan's id; its branch is ``plan-`` and the id.
        source: The branch that it is published to.
        selection: What was selected.
        partition: The run's partition.
        run_id: Dagster's id of the run on the branch.
        created_at: When it was made, in UTC.
        expires_at: Until when it can be applied.
        tables: What would change, as ``phlo branch diff --json`` tells it.
        accounts: Where the rows of each load went, by table.
        checks: The checks that failed, warned or could not run.
        reads: Tables that the run read and did not write.
        publishers: Keys of the run's assets that published marts.
        marts: What would become of published tables, with the locks that it takes.
        marts_error: Why that could not be found out; empty where it could.
    """

    plan_id: str
    source: str
    selection: tuple[str, ...]
    partition: str | None
    run_id: str
    created_at: str
    expires_at: str
    tables: tuple[dict[str, Any], ...] = ()
    accounts: dict[str, dict[str, int]] = field(default_factory=dict)
    checks: tuple[dict[str, Any], ...] = ()
    reads: tuple[str, ...] = ()
    publishers: tuple[str, ...] = ()
    marts: tuple[dict[str, Any], ...] = ()
    marts_error: str = ""

    @property
    def refused_marts(self) -> list[str]:
        """The published tables that could not follow."""
        return [mart["target"] for mart in self.marts if mart["refused"]]

    @property
    def branch(self) -> str:
        """The branch on which it was carried out."""
        return BRANCH_PREFIX + self.plan_id

    @property
    def made_at(self) -> datetime:
        """When it was made."""
        return datetime.fromisoformat(self.created_at)

    @property
    def is_expired(self) -> bool:
        """Whether it can no longer be applied."""
        return datetime.fromisoformat(self.expires_at) < datetime.now(UTC)

    @property
    def moved_tables(self) -> list[TableName]:
        """The tables that are there, in another state, once it is applied."""
        changed = [one for one in self.tables if one["change"] != "dropped"]
        return [TableName.parse(one["table"]) for one in changed]

    @property
    def read_tables(self) -> list[TableName]:
        """The tables that must still be as the run read them."""
        return [TableName.parse(name) for name in self.reads]

    def as_dict(self) -> dict[str, Any]:
        """Return the values for JSON."""
        return asdict(self) | {"branch": self.branch, "is_expired": self.is_expired}

    @property
    def is_ok(self) -> bool:
        """Whether no check of severity error failed, and all published tables could follow."""
        return not any(check.get("is_bad") for check in self.checks) and not self.refused_marts

    def shown(self) -> ShownTable:
        """Return the tables that would change, and the command that publishes them."""
        columns = ("table", "change", "added", "removed", "changed")
        return ShownTable(
            f"Plan {self.plan_id} of {' '.join(self.selection)}: "
            f"{counted(len(self.tables), 'table')} would change",
            columns,
            [[table[name] for name in columns] for table in self.tables],
            [f"phlo apply {self.plan_id}"] if self.tables else [],
        )


def new_plan_id() -> str:
    """Make the id of a plan."""
    return uuid.uuid4().hex[:8]


def times(keep_hours: float) -> tuple[str, str]:
    """Return when a plan made now begins and expires."""
    now = datetime.now(UTC)
    return now.isoformat(), (now + timedelta(hours=keep_hours)).isoformat()


def write_plan(settings: Settings, plan: BranchPlan) -> None:
    """Keep a plan."""
    text = json.dumps(asdict(plan), indent=2, default=_encode)
    write_whole(_file(settings, plan.plan_id), text)


def _encode(value: Any) -> Any:
    """Keep an instant as one, so that `phlo apply` prints the rows as `phlo plan` did."""
    return {_TIMESTAMP: value.isoformat()} if isinstance(value, datetime) else str(value)


def _decode(values: dict[str, Any]) -> Any:
    is_timestamp = values.keys() == {_TIMESTAMP}
    return datetime.fromisoformat(values[_TIMESTAMP]) if is_timestamp else values


def read_plans(settings: Settings) -> list[BranchPlan]:
    """Read all plans, the newest first."""
    files = PLANS.path(settings.lake_dir).glob("*.json")
    plans = filter(None, map(_read_kept, files))
    return sorted(plans, key=lambda plan: plan.created_at, reverse=True)


def find_plan(settings: Settings, plan_id: str) -> BranchPlan:
    """Find the plan whose id begins so.

    Raises:
        PlanNotFoundError: There is none, or there are several.
    """
    plans = read_plans(settings)
    matching = [plan for plan in plans if plan_id and plan.plan_id.startswith(plan_id)]
    if len(matching) == 1:
        return matching[0]
    raise PlanNotFoundError(
        f"{'Several plans begin' if matching else 'No plan begins'} with {plan_id!r}.",
        got=repr(plan_id),
        expected=f"one of {[plan.plan_id for plan in matching or plans]}",
        hint="`phlo plan list` shows them; it was applied or discarded if it is not there.",
        plan_id=plan_id,
    )


def require_applicable(plan: BranchPlan) -> None:
    """Refuse a plan that is too old.

    Raises:
        PlanError: It has expired.
    """
    if plan.is_expired:
        raise PlanError(
            f"The plan {plan.plan_id} has expired.",
            got=f"a plan until {plan.expires_at}",
            expected="one that is younger",
            hint=f"Make it anew: phlo plan {' '.join(plan.selection)}",
            plan_id=plan.plan_id,
        )


def forget_plan(settings: Settings, plan: BranchPlan) -> None:
    """Delete what is kept of a plan; its branch is deleted by the caller."""
    _file(settings, plan.plan_id).unlink(missing_ok=True)


def _file(settings: Settings, plan_id: str) -> Path:
    return make_folder(PLANS.path(settings.lake_dir)) / f"{plan_id}.json"


def _read_kept(file: Path) -> BranchPlan | None:
    try:
        return _read(file)
    except FileNotFoundError:  # it was applied or discarded meanwhile
        return None


def _read(file: Path) -> BranchPlan:
    values: dict[str, Any] = json.loads(file.read_text(), object_hook=_decode)
    tuples = ("selection", "tables", "checks", "reads", "publishers", "marts")
    values |= {name: tuple(values.get(name, ())) for name in tuples}
    return BranchPlan(**values)
