"""Private parts of dlt that phlo uses; everything else works with dlt's public interface.

Each function says what it does, why no public way will do, and the version it was written for.
``tests/unit/test_dlt_private.py`` says what each must do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from dlt.extract import DltResource
    from dlt.extract.pipe import Pipe


def source_function(factory: Any) -> Callable[..., Any]:
    """Return the function that a source factory calls with the arguments as they came.

    A factory binds arguments to configuration before any public hook sees them; the guide's
    one-dict form of ``rest_api`` is refused there (dlt 1.31).
    """
    return factory._deco_f


def set_source_function(factory: Any, function: Callable[..., Any]) -> None:
    """Let a source factory call another function (see :func:`source_function`; dlt 1.31)."""
    factory._deco_f = function


def resource_pipe(resource: DltResource) -> Pipe:
    """Return the pipe of a resource, whose head and last step can be replaced.

    Public ``add_map`` and ``add_yield_map`` place a step, but none wraps the generator at the
    head, which is what gathers single dicts into lists (dlt 1.31).
    """
    return resource._pipe
