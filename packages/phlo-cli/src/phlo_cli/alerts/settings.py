"""Settings of alerts, read from ``PHLO_ALERTS_*``."""

from __future__ import annotations

import logging
from datetime import time
from typing import Annotated, Any, Literal

from phlo.config import load_settings, split_names
from phlo.errors import ConfigurationError
from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

logger = logging.getLogger(__name__)


class AlertSettings(BaseSettings):
    """Who is told of failures, and when; nobody unless a webhook or a recipient is set."""

    model_config = SettingsConfigDict(env_prefix="PHLO_ALERTS_", extra="ignore", frozen=True)

    webhook_url: SecretStr | None = Field(
        None, description="Address that alerts are posted to; it is a secret."
    )
    webhook_format: Literal["json", "slack"] = Field(
        "json", description="What is posted: json, or slack for a message as Slack takes it."
    )
    mail_to: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="Recipients of alerts by e-mail, separated by commas."
    )
    mail_from: str = Field("phlo@localhost", description="Sender of alerts by e-mail.")
    smtp_host: str = Field("localhost", min_length=1, description="Mail server.")
    smtp_port: int = Field(587, ge=1, le=65535, description="Port of the mail server.")
    smtp_security: Literal["starttls", "tls", "none"] = Field(
        "starttls", description="How the mail server is reached: starttls, tls or none."
    )
    smtp_user: str | None = Field(None, description="User of the mail server; unset: no login.")
    smtp_password: SecretStr | None = Field(None, description="Password of the mail server.")
    quiet_hours: str | None = Field(
        None,
        description="Hours in which nothing is sent, such as 22:00-07:00 in PHLO_TIMEZONE; what "
        "happens then is sent when they end.",
    )
    max_per_hour: int = Field(
        20, ge=1, description="Messages per hour at most; more events share the last one."
    )
    quarantine_rows: int = Field(
        1, ge=1, description="Rows by which a quarantine must grow to be worth an alert."
    )
    timeout_seconds: float = Field(
        10, gt=0, description="Seconds that one message may take to be handed over."
    )

    @field_validator("mail_to", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        return split_names(value) if isinstance(value, str) else value

    @field_validator("quiet_hours")
    @classmethod
    def _readable_hours(cls, value: str | None) -> str | None:
        if value:
            parse_hours(value)
        return value or None

    @property
    def is_configured(self) -> bool:
        """Whether anybody is told of anything."""
        return self.webhook_url is not None or bool(self.mail_to)


def parse_hours(text: str) -> tuple[time, time]:
    """Read a span of the day; it may go over midnight.

    >>> parse_hours("22:00-07:30")
    (datetime.time(22, 0), datetime.time(7, 30))
    """
    try:
        start, end = (time.fromisoformat(part.strip()) for part in text.split("-"))
    except ValueError as exc:
        raise ValueError("expected two times of the day, such as 22:00-07:00") from exc
    return start, end


def is_quiet(hours: str | None, now: time) -> bool:
    """Return whether a time of the day lies in quiet hours; their end does not.

    >>> is_quiet("22:00-07:00", time(23, 5)), is_quiet("22:00-07:00", time(7, 0))
    (True, False)
    """
    if hours is None:
        return False
    start, end = parse_hours(hours)
    return start <= now < end if start <= end else now >= start or now < end


def alert_settings() -> AlertSettings:
    """Return the settings of alerts; they are read on first use."""
    return load_settings(AlertSettings)


def has_alerts() -> bool:
    """Return whether anybody is told of anything; wrong settings are logged, and tell nobody."""
    try:
        return alert_settings().is_configured
    except ConfigurationError as error:
        logger.warning("No alert can be sent: %s", error)
        return False
