"""Parts of Dagster that it does not publish, all that phlo uses of them.

Each stands here with what it does, why no public way will do, and since which version of Dagster
it is so; a test of its name holds what it must do, so that an upgrade that breaks it is seen.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from dagster._core.execution.plan import execute_plan
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG as RANGE_END_TAG,
)
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_START_TAG as RANGE_START_TAG,
)
from dagster._core.storage.tags import PARTITION_NAME_TAG as PARTITION_TAG
from dagster_shared.error import SerializableErrorInfo
from phlo.redaction import install_redaction, redact

if TYPE_CHECKING:
    from traceback import TracebackException

__all__ = ["PARTITION_TAG", "RANGE_END_TAG", "RANGE_START_TAG", "redact_recorded_errors"]


@cache
def redact_recorded_errors() -> None:
    """Let every error pass :func:`phlo.redaction.redact` before Dagster stores or prints it.

    Dagster makes a ``SerializableErrorInfo`` of each error of a chain, and of a ``Failure`` a
    ``UserFailureData`` besides; events, logs, pages and other processes see only those. Its own
    ``DAGSTER_REDACT_USER_CODE_ERRORS`` hides whole errors (Dagster 1.13).
    """
    install_redaction()
    as_error_info = SerializableErrorInfo.from_traceback.__func__  # pyright: ignore[reportFunctionMemberAccess]
    as_failure_data = execute_plan._user_failure_data_for_exc

    def from_traceback(cls: Any, trace: TracebackException) -> SerializableErrorInfo:
        info = as_error_info(cls, trace)
        return cls(
            message=redact(info.message),
            stack=[redact(frame) for frame in info.stack],
            cls_name=info.cls_name,
            cause=info.cause,
            context=info.context,
        )

    def user_failure_data_for_exc(error: BaseException | None) -> Any:
        data = as_failure_data(error)
        return data and data._replace(description=redact(data.description or "") or None)

    setattr(SerializableErrorInfo, "from_traceback", classmethod(from_traceback))  # noqa: B010
    execute_plan._user_failure_data_for_exc = user_failure_data_for_exc
