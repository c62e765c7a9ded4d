"""Settings that are wrong are told by name, never by value."""

import pytest
from phlo.config import load_settings
from phlo.errors import ConfigurationError
from phlo_publishing.settings import PostgresSettings


@pytest.mark.parametrize("host", ["postgresql://me:caNARY@db/shop", "me:caNARY@db"])
def test_an_address_given_as_host_is_refused_without_its_password(host, monkeypatch):
    monkeypatch.setenv("PHLO_POSTGRES_HOST", host)
    with pytest.raises(ConfigurationError, match="PHLO_POSTGRES_HOST: this is an address") as error:
        load_settings(PostgresSettings)
    assert "caNARY" not in str(error.value)
