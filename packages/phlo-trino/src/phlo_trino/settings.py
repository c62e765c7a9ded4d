"""Settings of the Trino engine."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Any

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict


class TrinoSettings(BaseSettings):
    """Where Trino is, and how to log in to it, read from ``PHLO_TRINO_*``.

    With ``host`` set, SQL runs on Trino; without it, on DuckDB in this process.
    """

    model_config = SettingsConfigDict(env_prefix="PHLO_TRINO_", extra="ignore", frozen=True)

    host: str | None = Field(
        None, min_length=1, description="Host of Trino's coordinator; unset: SQL runs on DuckDB."
    )
    port: int | None = Field(
        None, ge=1, le=65535, description="Port of the coordinator; unset: 8080, or 443 with TLS."
    )
    user: str = Field("phlo", min_length=1, description="User that queries run as.")
    password: SecretStr | None = Field(None, description="Password of the user; needs TLS.")
    access_token: SecretStr | None = Field(
        None, description="JSON web token, in place of a password; needs TLS."
    )
    client_certificate: Path | None = Field(
        None, description="File of a certificate to log in with (PEM); needs TLS and its key."
    )
    client_key: Path | None = Field(
        None, validate_default=True, description="File of that certificate's key (PEM)."
    )
    tls: bool = Field(
        False, validate_default=True, description="Whether the coordinator is reached by HTTPS."
    )
    ca_file: Path | None = Field(
        None,
        description="File of certificates to trust (PEM); unset: those that Python trusts.",
    )
    catalog: str = Field(
        "lake",
        min_length=1,
        description="Trino's name of the catalog; its jdbc-catalog.catalog-name must be that of "
        "PHLO_ICEBERG_CATALOG_NAME.",
    )
    session_properties: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Session properties of every query, as name=value, separated by commas.",
    )
    branch_catalogs: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Trino's catalogs of other branches of the lake, as branch=catalog, separated "
        "by commas; a branch without one is read by DuckDB.",
    )

    work_catalogs: Annotated[dict[str, str], NoDecode] = Field(
        default_factory=dict,
        description="Trino's catalogs in which runs work, one run at a time in each, as "
        "branch=catalog, separated by commas; phlo makes and deletes these branches.",
    )
    work_catalog_file: Path | None = Field(
        None,
        description="Properties of Trino's catalog of main, from which phlo makes work catalogs by "
        "CREATE CATALOG; unset: they stand in Trino's own configuration.",
    )
    work_catalog_wait_seconds: float = Field(
        600, ge=0, description="Time that a run waits for a work catalog which is free."
    )

    audits: bool = Field(
        False,
        description="Whether blocking checks of loads run on Trino, in a work catalog; else in the "
        "process of the run.",
    )

    merge_rows: int | None = Field(
        None,
        ge=1,
        description="Rows of a load from which on it is merged into its table on Trino, in a work "
        "catalog; unset: every load is merged in the process of the run.",
    )

    @field_validator("session_properties", "branch_catalogs", "work_catalogs", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        pairs = [part.partition("=") for part in value.split(",") if part.strip()]
        if any(not (name.strip() and equals) for name, equals, _ in pairs):
            raise ValueError("expected name=value, separated by commas")
        return {name.strip(): text.strip() for name, _, text in pairs}

    @field_validator("client_key")
    @classmethod
    def _belongs_to_certificate(cls, value: Path | None, info: ValidationInfo) -> Path | None:
        if (value is None) != (info.data.get("client_certificate") is None):
            raise ValueError("set it together with PHLO_TRINO_CLIENT_CERTIFICATE")
        return value

    @field_validator("tls")
    @classmethod
    def _protects_secrets(cls, value: bool, info: ValidationInfo) -> bool:
        secrets = ("password", "access_token", "client_certificate")
        named = next((name for name in secrets if info.data.get(name) is not None), None)
        if named and not value:
            raise ValueError(f"PHLO_TRINO_{named.upper()} is sent by HTTPS alone; set it to true")
        return value

    def on_branch(self, branch: str) -> TrinoSettings | None:
        """Return these settings with a branch's catalog; ``None`` where Trino has none."""
        catalog = (self.work_catalogs | self.branch_catalogs).get(branch)
        return self.model_copy(update={"catalog": catalog}) if catalog else None

    @property
    def is_in_work_catalog(self) -> bool:
        """Whether the catalog is one in which runs work."""
        return self.catalog in self.work_catalogs.values()

    @property
    def address(self) -> str:
        """The coordinator's address, for requests and messages."""
        scheme = "https" if self.tls else "http"
        return f"{scheme}://{self.host}:{self.port or (443 if self.tls else 8080)}"
