"""Why a step failed, without the frames of the machinery around it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from phlo.errors import PhloError
from phlo.specs import relative_path

from phlo_cli.summary import StepError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dagster import DagsterEvent

    from phlo_cli.dagster_private import SerializableErrorInfo

_WRAPPING = ("Dagster", "RetryRequestedFromPolicy")
"""How the classes of errors begin that Dagster raises around another one."""

_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


def step_error(event: DagsterEvent, labels: tuple[str, ...]) -> StepError:
    """Read the error of a step that failed or will be tried again.

    Of a chain of errors the one that phlo raised on purpose is told, else the first that is not
    Dagster's wrapping.
    """
    error: SerializableErrorInfo | None = getattr(event.event_specific_data, "error", None)
    step = event.step_key or ""
    if error is None:
        return StepError(step, labels, "Error", event.message or "", None, "")
    told = _told(list(_chain(error)))
    return StepError(
        step=step,
        labels=labels,
        kind=told.cls_name or "Error",
        message=_message(told),
        where=None if told.cls_name in _phlo_classes() else _where(told),
        traceback=error.to_string(),
    )


def _chain(error: SerializableErrorInfo | None) -> Iterator[SerializableErrorInfo]:
    while error is not None:
        yield error
        error = error.cause


def _told(chain: list[SerializableErrorInfo]) -> SerializableErrorInfo:
    ours = (error for error in chain if error.cls_name in _phlo_classes())
    others = (e for e in chain if not (e.cls_name or "").startswith(_WRAPPING))
    return next(ours, None) or next(others, None) or chain[-1]


def _message(error: SerializableErrorInfo) -> str:
    """Read the message, without the class name where it is a whole sentence."""
    text = error.message.strip()
    head, colon, rest = text.partition(": ")
    if not colon or head.split(".")[-1] != error.cls_name:
        return text
    written = {*_phlo_classes(), "Failure"}
    return rest if error.cls_name in written else f"{error.cls_name}: {rest}"


def _where(error: SerializableErrorInfo) -> str | None:
    """Return file and line of the innermost frame in the project's own code."""
    frames = (_FRAME.search(frame) for frame in reversed(error.stack))
    found = next((f for f in frames if f and "/workflows/" in f["file"]), None)
    return f"{relative_path(found['file'])}:{found['line']}" if found else None


def _phlo_classes() -> frozenset[str]:
    found, todo = set(), [PhloError]
    while todo:
        kind = todo.pop()
        found.add(kind.__name__)
        todo.extend(kind.__subclasses__())
    return frozenset(found)
