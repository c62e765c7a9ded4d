"""Private parts of dlt that phlo uses; everything else works with dlt's public interface.

Each function says what it does, why no public way will do, and the version it was written for.
``tests/unit/test_dlt_private.py`` says what each must do.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from decimal import Decimal
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import pandas as pd
from dlt.common import jsonpath
from dlt.common.configuration.container import Container
from dlt.common.configuration.providers.doc import BaseDocProvider
from dlt.common.configuration.specs.pluggable_run_context import PluggableRunContext
from dlt.sources.helpers.rest_client.client import RESTClient

from phlo_dlt.rows.plain import read_float, read_object

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

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


def configured_secrets() -> Iterator[str]:
    """Yield the values of ``secrets.toml`` and what was fetched from vaults.

    Those of ordinary keys, such as ``host``, are left out. dlt looks secrets up by name and lists
    none (dlt 1.31).
    """
    for provider in Container()[PluggableRunContext].providers.providers:
        if provider.supports_secrets and isinstance(provider, BaseDocProvider):
            yield from _secret_leaves(provider._config_doc)


def _secret_leaves(values: Mapping[str, Any]) -> Iterator[str]:
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _secret_leaves(value)
        elif isinstance(value, str) and not _ORDINARY_KEY.search(key):
            yield value


_absent_selectors: ContextVar[list[tuple[str, str]] | None] = ContextVar("absent", default=None)
_ORDINARY_KEY = re.compile(
    r"host|port|database|user|drivername|schema|url|uri|region|bucket|name|path|type", re.IGNORECASE
)
_PLAIN_PATH = re.compile(r"(\$\.)?[\w-]+(\.[\w-]+)*")


@contextmanager
def watch_absent_selectors() -> Iterator[list[tuple[str, str]]]:
    """Collect address and selector of each REST answer that lacks what was to be selected.

    dlt takes an answer without its ``data_selector`` for an empty page and tells no one; its
    response hooks do not know the selector (dlt 1.31). Only plain paths such as ``data.rows`` are
    judged, and only within this context.
    """
    _wrap_extract_response()
    absent: list[tuple[str, str]] = []
    token = _absent_selectors.set(absent)
    try:
        yield absent
    finally:
        _absent_selectors.reset(token)


def _wrap_extract_response() -> None:
    original: Any = RESTClient.extract_response
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def extract_response(self: RESTClient, response: Any, data_selector: Any) -> list[Any]:
        absent = _absent_selectors.get()
        if absent is not None:
            keep_digits(response)
        rows = original(self, response, data_selector)
        if absent is not None and not rows and _is_absent(str(data_selector), response.json()):
            absent.append((str(response.url), str(data_selector)))
        return rows

    RESTClient.extract_response = extract_response


def keep_exact_objects() -> None:
    """Let the backend ``pandas`` of ``sql_database`` keep objects that its frames would change.

    dlt makes doubles of decimals, and display text of lists, dicts and bytes, and no public option
    keeps them (dlt 1.31). Where ``backend_kwargs`` has ``coerce_float``, frames stay as they are.
    """
    from dlt.common.libs import pandas_sql

    helpers: Any = pandas_sql
    original = helpers._wrap_result
    if hasattr(original, "__wrapped__"):
        return

    @wraps(original)
    def wrap_result(data: Any, columns: Any, **options: Any) -> Any:
        by_column = enumerate(zip(*data, strict=True))
        objects = {n: values for n, values in by_column if _are_changed_by_frames(values)}
        if "coerce_float" in options or not objects:
            return original(data, columns, **options)
        rest = [[None if n in objects else v for n, v in enumerate(row)] for row in data]
        frame = original(rest, columns, **options)
        for position, values in objects.items():
            frame.isetitem(position, pd.Series(values, frame.index, dtype=object))
        return frame

    helpers._wrap_result = wrap_result


def _are_changed_by_frames(values: Sequence[Any]) -> bool:
    return any(isinstance(value, Decimal | dict | list | bytes | memoryview) for value in values)


def keep_digits(response: Any) -> None:
    """Let an HTTP answer's ``json()`` keep the digits of numbers, and repeated names.

    dlt calls it without arguments, and so reads doubles, and a name's last value (dlt 1.31).
    """
    response.json = partial(response.json, parse_float=read_float, object_pairs_hook=read_object)


def _is_absent(selector: str, answer: Any) -> bool:
    path = re.sub(r"(\[\*\]|\.\*)$", "", selector)
    return bool(_PLAIN_PATH.fullmatch(path)) and not jsonpath.find_values(path, answer)
