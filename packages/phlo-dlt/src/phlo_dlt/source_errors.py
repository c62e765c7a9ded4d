"""What an ingestion function or its source raised, as an error of phlo's."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, NoReturn

from dagster import Failure, RetryRequested
from phlo.errors import BrokenSourceError, PhloError, ResourceError, SourceError
from phlo.machine_errors import explain
from phlo.redaction import redact
from phlo.specs import relative_path
from phlo.transient import error_chain, is_transient

if TYPE_CHECKING:
    from collections.abc import Sequence

_RAISED_ON_PURPOSE = (PhloError, Failure, RetryRequested)


def is_panic(error: BaseException) -> bool:
    """Return whether a library written in Rust gave up: its error is no ``Exception``."""
    return type(error).__name__ == "PanicException"


def raise_source_error(error: BaseException, name: str) -> NoReturn:
    """Raise what a source failed with as a SourceError or a BrokenSourceError.

    An error that phlo raised, or a ``Failure`` or ``RetryRequested`` of Dagster, is raised as it
    is. A full disk or too little memory is no fault of the source: it is a ResourceError.

    Args:
        error: What was raised.
        name: The table's name.
    """
    errors = list(error_chain(error))
    purposeful = next((e for e in errors if isinstance(e, _RAISED_ON_PURPOSE)), None)
    if purposeful is not None:
        raise purposeful
    explained = explain(error)
    if isinstance(explained, ResourceError):
        raise explained from error
    told = next((e for e in errors if not type(e).__module__.startswith("dlt.")), errors[-1])
    text = f"{type(told).__name__}: {told}"
    message = redact(f"The source of {name!r} failed: {text}{_place(errors)}")
    raise _classified(error, message) from error


def _classified(error: BaseException, message: str) -> PhloError:
    if is_transient(error):
        return SourceError(message, hint="Run it again later, or raise max_retries.")
    if isinstance(error, NameError) and error.name == "context":
        return BrokenSourceError(
            message, hint="Let the function take it: `def ...(partition_date: str, context)`."
        )
    return BrokenSourceError(
        message, hint="Correct the ingestion function or its settings; it was not tried again."
    )


def _place(errors: Sequence[BaseException]) -> str:
    """Return the line of the project's own code that was reached last, in brackets."""
    frames = [f for e in reversed(errors) for f in reversed(traceback.extract_tb(e.__traceback__))]
    found = next((f for f in frames if "/workflows/" in f.filename.replace("\\", "/")), None)
    return f" ({relative_path(found.filename)}:{found.lineno})" if found else ""
