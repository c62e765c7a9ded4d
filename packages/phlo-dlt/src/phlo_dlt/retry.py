"""Trying again when a table moved between its stage and its publish."""

from __future__ import annotations

from typing import TYPE_CHECKING

from phlo.errors import MovedHeadError
from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

if TYPE_CHECKING:
    from collections.abc import Callable


def until_head_rests(stage_and_publish: Callable[[], object], attempts: int) -> None:
    """Stage and publish anew while the table moves, a bounded number of times, with jitter.

    Raises:
        MovedHeadError: The table moved every time.
    """
    Retrying(
        retry=retry_if_exception_type(MovedHeadError),
        stop=stop_after_attempt(attempts),
        wait=wait_random_exponential(multiplier=0.1, max=5),
        reraise=True,
    )(stage_and_publish)
