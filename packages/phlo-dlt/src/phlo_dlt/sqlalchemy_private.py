"""Private parts of SQLAlchemy that phlo uses; everything else works with its public interface.

Each function says what it does, why no public way will do, and the version it was written for.
``tests/unit/test_sqlalchemy_private.py`` says what each must do.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sqlalchemy import event
from sqlalchemy.engine import Engine

from phlo_dlt.rows.plain import read_json

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy.engine import Connection


@contextmanager
def exact_json() -> Iterator[None]:
    """Let connections used within this context read JSON columns with all digits.

    Python's own reader makes doubles of numbers with a fraction, and takes the last value of a name
    that stands twice. A reader can be given to a new engine alone (``json_deserializer``), and the
    engine of a source is dlt's or the user's (SQLAlchemy 2.0). One that was given to it stays.
    """
    if not event.contains(Engine, "engine_connect", _read_exactly):
        event.listen(Engine, "engine_connect", _read_exactly)
    _entered.append(None)
    try:
        yield
    finally:
        _entered.pop()


_entered: list[None] = []
"""One for each context that is open, of all threads: loads run beside and within one another."""


def _read_exactly(connection: Connection) -> None:
    if not _entered:
        return
    dialect: Any = connection.dialect
    reader = getattr(dialect, "_json_deserializer", None)
    if reader is not None and reader is not read_json:
        return
    dialect._json_deserializer = read_json
    set_reader = _DRIVERS.get(dialect.driver)
    if set_reader is not None:
        set_reader(connection.connection.dbapi_connection)


def _psycopg(connection: Any) -> None:
    from psycopg.types.json import set_json_loads

    set_json_loads(read_json, connection)


def _psycopg2(connection: Any) -> None:
    from psycopg2 import extras  # pyright: ignore[reportMissingModuleSource]

    extras.register_default_json(connection, loads=read_json)
    extras.register_default_jsonb(connection, loads=read_json)


_DRIVERS = {"psycopg": _psycopg, "psycopg2": _psycopg2}
"""Drivers that read JSON by themselves; for all others SQLAlchemy does."""
