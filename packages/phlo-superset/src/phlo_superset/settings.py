"""Settings of Superset, read from ``PHLO_SUPERSET_*``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class SupersetSettings(BaseSettings):
    """Where Superset is, and how it reaches the published marts."""

    model_config = SettingsConfigDict(env_prefix="PHLO_SUPERSET_", extra="ignore", frozen=True)

    url: str | None = Field(
        None, description="Superset's address, such as https://superset.example.com."
    )
    user: str = Field("admin", min_length=1, description="User that phlo logs in as.")
    password: SecretStr | None = Field(None, description="Password of the user.")
    provider: Literal["db", "ldap"] = Field(
        "db", description="Where Superset looks the user up: db or ldap."
    )
    ca_file: Path | None = Field(
        None, description="File of certificates to trust (PEM); unset: those that Python trusts."
    )
    database_name: str | None = Field(
        None,
        min_length=1,
        description="Superset's name of the marts' database; unset: phlo and the project's folder. "
        "A database of that name is used as it is.",
    )
    database_uri: SecretStr | None = Field(
        None,
        description="SQLAlchemy URI by which Superset reaches the marts; unset: that of the "
        "publishing role.",
    )
    timeout_seconds: float = Field(60, gt=0, description="Seconds to wait for an answer.")

    @field_validator("url")
    @classmethod
    def _is_address(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            raise ValueError(
                "expected an address such as https://superset.example.com, without user and "
                "password; those go into PHLO_SUPERSET_USER and PHLO_SUPERSET_PASSWORD"
            )
        return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
