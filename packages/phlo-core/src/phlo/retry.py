"""Retry a publish whose table moved between stage and commit."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_random_exponential

if TYPE_CHECKING:
    from collections.abc import Callable


def retry_on_moved_head(
    publish: Callable[[], object],
    attempts: int,
    *,
    can_retry: Callable[[], bool] = lambda: True,
) -> None:
    """Run ``publish`` again on MovedHeadError, at most ``attempts`` times, with jitter.

    Args:
        publish: Does everything that depends on the heads: it judges (and stages) anew each time.
        attempts: How often it is run, the first time included.
        can_retry: Asked after each MovedHeadError; ``False`` raises it at once.

    Raises:
        MovedHeadError: The table moved every time, or ``can_retry`` said no.
    """
    Retrying(
        retry=retry_if_exception(lambda exc: isinstance(exc, MovedHeadError) and can_retry()),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        reraise=True,
    )(publish)
