"""What an ingestion function or its source raised, as an error of phlo's."""

from __future__ import annotations

import traceback
from json import JSONDecodeError
from typing import TYPE_CHECKING, NoReturn
from urllib.parse import urlsplit

from dagster import Failure, RetryRequested
from phlo.env_file import unset_variable
from phlo.errors import BrokenSourceError, PhloError, ResourceError, SourceError
from phlo.machine_errors import explain
from phlo.redaction import redact
from phlo.specs import relative_path
from phlo.transient import error_chain, is_transient
from requests import Response
from requests.exceptions import JSONDecodeError as RequestsJSONDecodeError

if TYPE_CHECKING:
    from collections.abc import Sequence

_SHOWN_CHARACTERS = 60
_RAISED_ON_PURPOSE = (PhloError, Failure, RetryRequested)


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
    message = redact(f"The source of {name!r} failed: {text}{_place(errors)}{_answer(errors)}")
    raise _classified(error, message) from error


def _classified(error: BaseException, message: str) -> PhloError:
    if is_transient(error):
        return SourceError(message, hint="Run it again later, or raise max_retries.")
    if isinstance(error, NameError) and error.name == "context":
        return BrokenSourceError(
            message, hint="Let the function take it: `def ...(partition_date: str, context)`."
        )
    if variable := next(filter(None, map(unset_variable, error_chain(error))), None):
        return BrokenSourceError(message, hint=f"Set {variable} in the environment or in .env.")
    return BrokenSourceError(
        message, hint="Correct the ingestion function or its settings; it was not tried again."
    )


def _answer(errors: Sequence[BaseException]) -> str:
    """Tell which answer of a server is no JSON, and how it begins: mostly a login or error page."""
    # Where simplejson is installed, requests' error is one of its, and none of the library's.
    kinds = (JSONDecodeError, RequestsJSONDecodeError)
    error = next((e for e in errors if isinstance(e, kinds)), None)
    if error is None:
        return ""
    frames = (frame for e in errors for frame, _ in traceback.walk_tb(e.__traceback__))
    asked = (frame.f_locals.get("self") for frame in frames)
    response = next((one for one in asked if isinstance(one, Response)), None)
    begin = f"begins with {error.doc[:_SHOWN_CHARACTERS]!r}"
    if response is None:
        return f". The text {begin}"
    address = urlsplit(response.url)._replace(query="", fragment="").geturl()
    kind = response.headers.get("Content-Type", "no Content-Type")
    return f". The answer of {address} (status {response.status_code}, {kind}) {begin}"


def _place(errors: Sequence[BaseException]) -> str:
    """Return the line of the project's own code that was reached last, in brackets."""
    frames = [f for e in reversed(errors) for f in reversed(traceback.extract_tb(e.__traceback__))]
    found = next((f for f in frames if "/workflows/" in f.filename.replace("\\", "/")), None)
    return f" ({relative_path(found.filename)}:{found.lineno})" if found else ""
