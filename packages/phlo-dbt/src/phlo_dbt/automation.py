"""When Dagster builds models without being asked: after what they read, or by a cron."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dagster import AutomationCondition
from phlo.config import load_settings
from phlo.errors import InvalidArgumentError

from phlo_dbt.settings import DbtSettings

if TYPE_CHECKING:
    from collections.abc import Collection

_EAGER = "eager"


def automation_of(tags: Collection[str]) -> AutomationCondition | None:
    """Return the condition that ``PHLO_DBT_AUTOMATION`` gives a model with these tags.

    Raises:
        InvalidArgumentError: The setting is neither ``eager`` nor a cron.
    """
    setting = load_settings(DbtSettings).automation
    if not setting:
        return None
    if isinstance(setting, str):
        return _condition(setting)
    return next((_condition(text) for tag, text in setting.items() if tag in tags), None)


def _condition(text: str) -> AutomationCondition:
    if text == _EAGER:
        # A daily source has days that were never loaded; they are no reason to wait.
        eager = AutomationCondition.eager()
        return eager.without(~AutomationCondition.any_deps_missing()).with_label(_EAGER)
    try:
        ticked = AutomationCondition.cron_tick_passed(text)
    except Exception as exc:
        raise InvalidArgumentError(
            "PHLO_DBT_AUTOMATION is neither 'eager' nor a cron.",
            got=repr(text),
            expected="'eager', a cron such as '0 6 * * *', or one of them by tag",
            hint="Set PHLO_DBT_AUTOMATION=eager.",
        ) from exc
    return ticked.since_last_handled() & ~AutomationCondition.in_progress()
