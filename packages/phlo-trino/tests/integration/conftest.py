"""A project on a real Trino, whose catalog is empty before each test."""

import pytest
from phlo.config import get_settings, reset_settings
from phlo.lake import build_lake, reset_lake


@pytest.fixture
def lake(trino_lake, phlo_environment, monkeypatch):
    for name, value in trino_lake.settings.items():
        monkeypatch.setenv(name, value)
    reset_settings()
    reset_lake()
    lake = build_lake(get_settings())
    for table in lake.store.list_tables():
        lake.store.drop(table)
    yield lake
    lake.store.catalog.engine.dispose()


@pytest.fixture
def store(lake):
    return lake.store


@pytest.fixture
def engine(lake):
    return lake.engine
