import pytest
from phlo.plugins import hookimpl, plugin_manager
from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class VaultSettings(BaseSettings):
    """Settings of a plugin with secrets."""

    model_config = SettingsConfigDict(env_prefix="PHLO_VAULT_", extra="ignore", frozen=True)

    token: SecretStr | None = Field(None, description="Token.")
    address: str | None = Field(None, description="Address, with a password.")
    retries: int = Field(3, description="Retries.")


@pytest.fixture
def vault(phlo_project):
    class Vault:
        @hookimpl
        def phlo_register_settings(self):
            return VaultSettings

    plugin_manager().register(Vault())
    return phlo_project


def settings(phlo, *arguments):
    return {row["variable"]: row for row in phlo("config", "show", *arguments, "--json").json}


def test_every_plugins_settings_are_shown_with_their_source(vault, phlo):
    vault.write(".env", "PHLO_VAULT_RETRIES=7\n")
    vault.set(PHLO_TIMEZONE="Europe/Berlin")
    rows = settings(phlo)
    assert (rows["PHLO_TIMEZONE"]["value"], rows["PHLO_TIMEZONE"]["source"]) == (
        "Europe/Berlin",
        "environment",
    )
    assert (rows["PHLO_VAULT_RETRIES"]["value"], rows["PHLO_VAULT_RETRIES"]["source"]) == (
        "7",
        ".env",
    )
    assert rows["PHLO_START_DATE"]["source"] == "default"
    assert all(row["description"] for row in rows.values())


def test_a_prefix_shows_one_plugins_settings(vault, phlo):
    assert set(settings(phlo, "phlo_vault")) == {
        "PHLO_VAULT_TOKEN",
        "PHLO_VAULT_ADDRESS",
        "PHLO_VAULT_RETRIES",
    }


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_secrets_are_masked_by_type_and_passwords_in_addresses_too(vault, phlo, form):
    vault.set(
        PHLO_VAULT_TOKEN="s3cr3t-token", PHLO_VAULT_ADDRESS="postgresql://me:s3cr3t-pw@db/phlo"
    )
    answer = phlo("config", "show", *form)
    assert answer.code == 0
    assert "s3cr3t" not in answer.out + answer.err
    assert answer.out.count("********") == 2


def test_right_settings_are_right(vault, phlo):
    answer = phlo("config", "validate")
    assert (answer.code, answer.out) == (0, "The settings are right.\n")


def test_wrong_values_are_told_by_variable_without_the_value(vault, phlo):
    vault.set(PHLO_VAULT_RETRIES="s3cr3t", PHLO_TIMEZONE="Mars/Olympus")
    answer = phlo("config", "validate", "--json")
    assert answer.code == 1
    told = " ".join(answer.json["problems"])
    assert "PHLO_VAULT_RETRIES: Input should be a valid integer" in told
    assert "PHLO_TIMEZONE: no time zone of that name" in told
    assert "s3cr3t" not in answer.out


def test_a_misspelt_name_in_the_env_file_gives_the_nearest(vault, phlo):
    vault.write(".env", "PHLO_TIMEZON=UTC\nOTHER=1\n")
    answer = phlo("config", "validate")
    assert answer.code == 1
    assert answer.out == (
        "No installed plugin reads PHLO_TIMEZON (.env). Did you mean PHLO_TIMEZONE?\n"
    )
