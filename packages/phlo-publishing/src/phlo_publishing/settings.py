"""Settings of publishing, read from ``PHLO_POSTGRES_*``."""

from __future__ import annotations

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict


class PostgresSettings(BaseSettings):
    """Where marts are published, and how carefully.

    With ``host`` set, that server is used; without it, a server of the project's own is kept
    under ``.phlo/postgres`` (see :mod:`phlo_publishing.server`).
    """

    model_config = SettingsConfigDict(env_prefix="PHLO_POSTGRES_", extra="ignore", frozen=True)

    host: str | None = Field(
        None, description="Server to publish to; unset: the project's own embedded server."
    )
    port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port; unset: 5432, or a free port that the embedded server keeps.",
    )
    database: str = Field("phlo", min_length=1, description="Database to publish into.")
    user: str = Field(
        "phlo", min_length=1, description="Role that publishes; the embedded server's is phlo."
    )
    password: SecretStr | None = Field(
        None, description="Password of the role; unset: as libpq finds it (~/.pgpass)."
    )
    sslmode: str | None = Field(
        None, description="libpq's sslmode, such as verify-full; unset: libpq's default."
    )
    target_schema: str = Field(
        "marts", min_length=1, description="Schema of published tables where a call names none."
    )
    max_shrink: float = Field(
        0.5,
        ge=0,
        le=1,
        description="Share of its rows (0 to 1) that a mart may lose in one publish.",
    )
    connect_timeout_seconds: int = Field(
        10, ge=2, description="Seconds to wait for the server to answer."
    )
    lock_timeout_seconds: float = Field(
        60, gt=0, description="Seconds that a publish waits for readers and other publishes."
    )
    keep_running: bool = Field(
        False,
        description="Whether the embedded server runs on when the last phlo process ends.",
    )

    @field_validator("host")
    @classmethod
    def _is_host_name(cls, host: str | None) -> str | None:
        if host and ("://" in host or "@" in host):
            raise ValueError(
                "this is an address, not a host; write host, port, user and password each into "
                "its own PHLO_POSTGRES_ variable"
            )
        return host
