"""The engine on a real Trino answers as every engine must."""

import certifi
import pytest
from phlo.errors import ConfigurationError
from phlo_testing.engines import QueryEngineConformance
from phlo_trino.engine import TrinoEngine
from phlo_trino.server import TrinoServer
from phlo_trino.settings import TrinoSettings
from pydantic import SecretStr

pytestmark = [pytest.mark.trino, pytest.mark.integration, pytest.mark.xdist_group("servers")]


def test_rows_of_both_protocols_are_the_same(engine, trino_lake):
    query = "SELECT n, rpad('é', 500, 'x') AS t FROM UNNEST(sequence(1, 9999)) AS u(n)"
    direct = TrinoSettings(
        host="127.0.0.1",
        port=trino_lake.port,
        session_properties={"spooling_enabled": "false"},
    )
    rows = TrinoEngine(TrinoServer(direct), engine.embedded).query(query).read_all()
    assert engine.query(query).read_all().sort_by("n") == rows.sort_by("n")


def test_a_login_by_https_with_a_token(trino_lake, engine, monkeypatch):
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())  # which requests takes instead
    settings = TrinoSettings(
        host="localhost",
        port=trino_lake.https_port,
        tls=True,
        ca_file=trino_lake.ca_file,
        access_token=trino_lake.access_token,
    )
    query = "SELECT current_user AS name"
    by_https = TrinoEngine(TrinoServer(settings), engine.embedded)
    assert by_https.query(query).read_all().to_pylist() == [{"name": "phlo"}]
    for changes, words in (
        ({"ca_file": None}, "cannot be trusted"),
        ({"access_token": SecretStr("a.b.c")}, "refuses the login"),
        ({"access_token": None}, "refuses the login"),
    ):
        refused = TrinoServer(settings.model_copy(update=changes))
        with pytest.raises(ConfigurationError, match=words):
            TrinoEngine(refused, engine.embedded).query(query)


class TestTrinoEngine(QueryEngineConformance):
    @pytest.fixture(autouse=True)
    def _is_on_trino(self, engine):
        assert isinstance(engine, TrinoEngine)
