import pytest
from phlo.config import get_settings, load_settings, reset_settings
from phlo.errors import ConfigurationError
from phlo.lake import build_lake
from phlo_trino.engine import TrinoEngine
from phlo_trino.settings import TrinoSettings


def settings(monkeypatch, **values):
    for name, value in values.items():
        monkeypatch.setenv(f"PHLO_TRINO_{name.upper()}", value)
    reset_settings()
    return load_settings(TrinoSettings)


def test_the_port_follows_from_tls(monkeypatch):
    assert settings(monkeypatch, host="t").address == "http://t:8080"
    assert settings(monkeypatch, tls="true").address == "https://t:443"
    assert settings(monkeypatch, port="8443").address == "https://t:8443"


def test_session_properties_are_pairs(monkeypatch):
    text = "query_max_run_time=5m, lake.target_split_size=64MB"
    assert settings(monkeypatch, session_properties=text).session_properties == {
        "query_max_run_time": "5m",
        "lake.target_split_size": "64MB",
    }
    with pytest.raises(ConfigurationError, match="PHLO_TRINO_SESSION_PROPERTIES: expected name="):
        settings(monkeypatch, session_properties="5m")


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"password": "secret"}, "PHLO_TRINO_TLS: PHLO_TRINO_PASSWORD is sent by HTTPS alone"),
        ({"access_token": "secret"}, "PHLO_TRINO_TLS: PHLO_TRINO_ACCESS_TOKEN is sent"),
        ({"client_certificate": "c.pem", "tls": "true"}, "PHLO_TRINO_CLIENT_KEY"),
        ({"client_key": "c.pem"}, "PHLO_TRINO_CLIENT_KEY"),
    ],
)
def test_a_login_that_cannot_be_is_named_without_its_secret(monkeypatch, values, named):
    with pytest.raises(ConfigurationError, match=named) as caught:
        settings(monkeypatch, **values)
    assert "secret" not in str(caught.value)


def test_the_engine_is_chosen_by_the_host(monkeypatch):
    assert build_lake(get_settings()).engine.dialect == "duckdb"
    settings(monkeypatch, host="127.0.0.1")
    lake = build_lake(get_settings())
    assert isinstance(lake.engine, TrinoEngine)
    assert lake.embedded_engine.dialect == "duckdb"


def test_a_branch_is_read_on_trino_where_it_has_a_catalog_there(monkeypatch):
    settings(monkeypatch, host="127.0.0.1")
    build_lake(get_settings()).store.create_branch("dev")
    on_branch = {"branch": "dev"}
    branch = build_lake(get_settings().model_copy(update=on_branch))
    assert branch.engine.dialect == "duckdb"
    settings(monkeypatch, branch_catalogs="test=lake_test, dev=lake_dev")
    branch = build_lake(get_settings().model_copy(update=on_branch))
    assert isinstance(branch.engine, TrinoEngine)
