"""What phlo-trino contributes through phlo's hooks."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from phlo.plugins import hookimpl

if TYPE_CHECKING:
    from collections.abc import Generator

    from phlo.config import Settings
    from phlo.protocols import QueryEngine, TableStore
    from pydantic_settings import BaseSettings


@hookimpl
def phlo_register_settings() -> type[BaseSettings]:
    """Return the settings class that says where Trino is."""
    from phlo_trino.settings import TrinoSettings

    return TrinoSettings


@hookimpl(wrapper=True)
def phlo_provide_query_engine(
    settings: Settings, store: TableStore
) -> Generator[None, QueryEngine | None, QueryEngine | None]:
    """Put Trino, where it is configured, before the engine of this process.

    A branch of the lake for which Trino has no catalog is left to the engine of this process.
    """
    embedded = yield
    from phlo.config import load_settings

    from phlo_trino.settings import TrinoSettings

    trino: TrinoSettings | None = load_settings(TrinoSettings)
    if trino.host is None or embedded is None:
        return embedded
    if settings.is_on_branch and (trino := trino.on_branch(settings.branch)) is None:
        return embedded
    from phlo_trino.engine import TrinoEngine
    from phlo_trino.server import TrinoServer
    from phlo_trino.work_catalogs import lease_work_catalog

    seconds = settings.query_timeout_seconds or None
    lease = partial(lease_work_catalog, trino, store, seconds)
    server = TrinoServer(trino, seconds=seconds)
    if settings.is_on_branch:  # a work catalog begins from main: loads work in the process here
        return TrinoEngine(server, embedded, lease)
    return TrinoEngine(
        server, embedded, lease, audits_loads=trino.audits, merge_rows=trino.merge_rows
    )
