"""Settings of the table store."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict


class IcebergSettings(BaseSettings):
    """Settings of phlo-iceberg, read from ``PHLO_ICEBERG_*``.

    Unset, the catalog is a SQLite file and the warehouse a folder, both under ``.phlo/``.
    """

    model_config = SettingsConfigDict(env_prefix="PHLO_ICEBERG_", extra="ignore", frozen=True)

    catalog_name: str = Field(
        "lake", description="Name of the catalog; Trino must call it the same."
    )
    catalog_type: Literal["sql", "rest"] = Field("sql", description="Kind of catalog: sql or rest.")
    catalog_uri: SecretStr | None = Field(
        None,
        description="Address of the catalog, such as postgresql+psycopg://user:password@host/db; "
        "by default sqlite in .phlo/catalog.db.",
    )
    catalog_credential: SecretStr | None = Field(
        None, description="Credential of a REST catalog, as id:secret."
    )
    warehouse: str | None = Field(
        None, description="Folder or s3:// address of the tables; by default .phlo/warehouse."
    )
    s3_endpoint: str | None = Field(None, description="Address of the S3 service, if not AWS.")
    s3_region: str | None = Field(None, description="Region of the S3 service.")
    s3_access_key_id: str | None = Field(None, description="Access key of the S3 service.")
    s3_secret_access_key: SecretStr | None = Field(None, description="Secret key of S3.")
    keep_snapshots: int = Field(
        20, ge=1, description="Newest snapshots of a table that maintenance keeps."
    )
    keep_snapshot_days: float = Field(
        5, ge=0, description="Days for which maintenance keeps every snapshot."
    )
    keep_audit_days: float = Field(
        14, ge=0, description="Days for which a failed audit is kept as a branch."
    )
    orphan_hours: float = Field(
        72, ge=1, description="Hours after which files of no snapshot are removed."
    )
    sync_files: bool = Field(
        True,
        description="Whether local files are flushed to disk before the catalog names them, so "
        "that a power cut loses no table.",
    )
    maintenance_cron: str = Field(
        "17 3 * * *", description="When the daily maintenance runs; empty: never."
    )
