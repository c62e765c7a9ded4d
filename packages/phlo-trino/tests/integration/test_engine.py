"""The engine on a real Trino answers as every engine must."""

import pytest
from phlo_testing.engines import QueryEngineConformance
from phlo_trino.engine import TrinoEngine

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]


class TestTrinoEngine(QueryEngineConformance):
    @pytest.fixture(autouse=True)
    def _is_on_trino(self, engine):
        assert isinstance(engine, TrinoEngine)
