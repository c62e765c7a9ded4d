"""Settings, and the address that Superset gets."""

import pytest
from phlo.config import load_settings
from phlo.errors import ConfigurationError
from phlo_publishing.address import PostgresAddress
from phlo_superset.client import SupersetClient
from phlo_superset.databases import build_uri
from phlo_superset.settings import SupersetSettings
from pydantic import SecretStr


@pytest.mark.parametrize("url", ["superset", "ftp://x", "http://", "https://u:topsecret@host/"])
def test_an_address_that_is_none_is_refused_and_its_password_not_shown(
    url, phlo_environment, monkeypatch
):
    monkeypatch.setenv("PHLO_SUPERSET_URL", url)
    with pytest.raises(ConfigurationError, match="PHLO_SUPERSET_URL") as caught:
        load_settings(SupersetSettings)
    assert "topsecret" not in str(caught.value)


def test_an_address_keeps_its_path_and_loses_its_slash(phlo_environment, monkeypatch):
    monkeypatch.setenv("PHLO_SUPERSET_URL", "https://bi.example.com/superset/")
    assert load_settings(SupersetSettings).url == "https://bi.example.com/superset"


@pytest.mark.parametrize("missing", ["URL", "PASSWORD"])
def test_what_is_not_set_is_named(missing, phlo_environment):
    values = {"url": "http://127.0.0.1", "password": "x"} | {missing.lower(): None}
    with pytest.raises(ConfigurationError, match=f"PHLO_SUPERSET_{missing} is not set"):
        SupersetClient(SupersetSettings(**values))


def test_the_uri_quotes_user_password_and_database():
    address = PostgresAddress("::1", 5433, "m/x", "a@b", SecretStr("p:/?#[]@ %"), "require")
    assert build_uri(address) == (
        "postgresql+psycopg2://a%40b:p%3A%2F%3F%23%5B%5D%40%20%25@[::1]:5433/m%2Fx?sslmode=require"
    )
