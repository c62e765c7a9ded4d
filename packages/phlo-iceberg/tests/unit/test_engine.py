"""The DuckDB engine answers as every engine must."""

import pytest
from phlo.config import get_settings
from phlo.errors import QueryError
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


def test_try_does_not_hide_what_no_rule_reads(engine):
    query = "SELECT try(regexp_like('a', p)) FROM (VALUES 'a', '[[:alpha:]]') AS t(p)"
    with pytest.raises(QueryError, match=r"The pattern is not translated: \[\[:alpha:\]\]"):
        engine.query(query).read_all()
