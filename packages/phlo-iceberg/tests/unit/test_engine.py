"""The DuckDB engine answers as every engine must."""

import pytest
from phlo.config import get_settings
from phlo.lake import build_lake
from phlo_testing.engines import QueryEngineConformance


@pytest.fixture
def lake():
    return build_lake(get_settings())


@pytest.fixture
def store(lake):
    return lake.store


@pytest.fixture
def engine(lake):
    return lake.engine


class TestDuckDBEngine(QueryEngineConformance):
    pass
