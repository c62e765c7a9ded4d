"""Settings shared by all packages.

Each plugin owns a class of its own with its own prefix; all are read from the environment and from
the project's ``.env``, on first use. Reading them puts ``.env`` into the environment.
"""

from __future__ import annotations

from datetime import date
from functools import cache
from pathlib import Path  # noqa: TC003 - pydantic reads the annotations
from typing import Annotated, Any, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from phlo.branches import check_branch_name
from phlo.env_file import find_project_dir, forget_env_file, load_env_file
from phlo.errors import ConfigurationError, InvalidNameError
from phlo.folders import BRANCHES, STAGING, STATE_DIR
from phlo.names import MAIN
from phlo.redaction import remember_secrets
from phlo.time_zones import keep_offsets
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)

keep_offsets()  # before a workflow imports Pandera, and for every process that is started


class Settings(BaseSettings):
    """Settings of core, read from ``PHLO_*``."""

    model_config = SettingsConfigDict(env_prefix="PHLO_", extra="ignore", frozen=True)

    project_dir: Path = Field(
        default_factory=find_project_dir,
        validate_default=True,
        description="Folder of the project.",
    )
    timezone: str = Field("UTC", description="Time zone of partitions and schedules (IANA name).")
    start_date: date = Field(
        date(2020, 1, 1), description="First partition of assets that name none."
    )
    branch: str = Field(
        MAIN, description="Branch of the lake that is read and written; main is the lake itself."
    )
    disabled_plugins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Names of plugins not to load, separated by commas."
    )
    staging_keep_days: int = Field(
        7, ge=0, description="Days after which the staging of a failed run is removed."
    )
    history_keep_days: int = Field(
        90,
        ge=0,
        description="Days after which `phlo maintain` removes runs and what they logged; the runs "
        "that made a partition or an asset last stay. 0: all stay.",
    )
    query_timeout_seconds: float = Field(
        1800,
        ge=0,
        description="Seconds that the query engine works on one query, check or statement of dbt "
        "before it is stopped; 0: no limit.",
    )
    query_memory_mb: int | None = Field(
        None,
        ge=64,
        description="Memory, in megabytes, that one query or dbt run takes in the embedded engine "
        "before it spills into .phlo/spill; by default half of the machine's.",
    )

    @field_validator("disabled_plugins", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value) if isinstance(value, str) else value

    @field_validator("branch")
    @classmethod
    def _nameable_branch(cls, value: str) -> str:
        try:
            return check_branch_name(value)
        except InvalidNameError as exc:
            raise ValueError(f"expected {exc.expected}") from exc

    @field_validator("project_dir")
    @classmethod
    def _nameable(cls, value: Path) -> Path:
        # Iceberg's addresses end at the first two, and dlt takes the third for a place to fill.
        if {"?", "#", "%"} & set(str(value)):
            raise ValueError(f"{value} has one of ? # % in it; rename that folder")
        return value

    @field_validator("timezone")
    @classmethod
    def _known_zone(cls, value: str) -> str:
        try:
            ZoneInfo(value)
        except (ZoneInfoNotFoundError, OSError, ValueError) as exc:
            raise ValueError("no time zone of that name; write one such as Europe/Berlin") from exc
        return value

    @property
    def lake_dir(self) -> Path:
        """``.phlo`` in the project: what all branches share, such as catalog and warehouse."""
        return self.project_dir / STATE_DIR

    @property
    def is_on_branch(self) -> bool:
        """Whether another branch than main is read and written."""
        return self.branch != MAIN

    @property
    def state_dir(self) -> Path:
        """Where runs keep their state: staging, locks, Dagster's history; a branch has its own."""
        return BRANCHES.path(self.lake_dir) / self.branch if self.is_on_branch else self.lake_dir

    @property
    def staging_dir(self) -> Path:
        """Where loads are staged, by run and attempt."""
        return STAGING.path(self.state_dir)

    @property
    def workflows_dir(self) -> Path:
        """The project's code."""
        return self.project_dir / "workflows"


def split_names(text: str) -> tuple[str, ...]:
    """Split a comma list.

    >>> split_names("dbt, quality,")
    ('dbt', 'quality')
    """
    return tuple(part.strip() for part in text.split(",") if part.strip())


def load_settings(kind: type[S]) -> S:
    """Read a settings class once, from the environment and the project's ``.env``.

    Raises:
        ConfigurationError: A value is wrong; names the variable, never the value.
    """
    return _read_settings(kind)  # pyright: ignore[reportReturnType] - a cache forgets the type


@cache
def _read_settings(kind: type[BaseSettings]) -> BaseSettings:
    load_env_file()
    settings = _read_validated(kind)
    secrets = [v for _, v in settings if isinstance(v, SecretStr)]
    remember_secrets(secret.get_secret_value() for secret in secrets)
    return settings


def _read_validated(kind: type[BaseSettings]) -> BaseSettings:
    try:
        return kind(_env_file=find_project_dir() / ".env")  # pyright: ignore[reportCallIssue]
    except ValidationError as exc:
        prefix = kind.model_config.get("env_prefix", "")
        errors = exc.errors(include_input=False, include_url=False)
        problems = "; ".join(
            f"{prefix}{'_'.join(map(str, e['loc']))}".upper()
            + ": "
            + e["msg"].removeprefix("Value error, ")
            for e in errors
        )
        raise ConfigurationError(
            f"Settings are wrong: {problems}.",
            hint="Correct the variable in the environment or in .env.",
        ) from None


def get_settings() -> Settings:
    """Return the settings of core; they are read on first use."""
    return load_settings(Settings)


def reset_settings() -> None:
    """Forget settings that were read, and ``.env``; tests use it after changing them."""
    _read_settings.cache_clear()
    forget_env_file()


class _LazySettings:
    """Stands for :func:`get_settings` so that importing it reads nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(get_settings(), name)

    def __repr__(self) -> str:
        return f"<settings of {find_project_dir()}>"


config: Settings = _LazySettings()  # pyright: ignore[reportAssignmentType]
