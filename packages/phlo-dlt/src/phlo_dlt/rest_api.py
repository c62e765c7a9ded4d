"""dlt's ``rest_api`` in the form of the guide: one dict with all its parts.

dlt's own function takes ``client=`` and ``resources=`` and refuses that form. Importing this module
makes it work, in place, so that it does not matter who imported ``rest_api`` first; other calls
are not touched.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

from dlt.sources.rest_api import rest_api

from phlo_dlt.dlt_private import set_source_function, source_function

_PARTS = frozenset({"client", "resources", "resource_defaults"})


def is_one_dict(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Return whether a call gives the whole configuration as its one argument."""
    is_alone = len(args) == 1 and not kwargs and isinstance(args[0], dict)
    return is_alone and "resources" in args[0] and set(args[0]) <= _PARTS


def accept_one_dict() -> None:
    """Let ``rest_api`` take the one-dict form; doing it twice is doing it once."""
    original = source_function(rest_api)
    if getattr(original, "accepts_one_dict", False):
        return

    @wraps(original)
    def call(*args: Any, **kwargs: Any) -> Any:
        if is_one_dict(args, kwargs):
            return original(**args[0])
        return original(*args, **kwargs)

    vars(call)["accepts_one_dict"] = True
    set_source_function(rest_api, call)


accept_one_dict()
