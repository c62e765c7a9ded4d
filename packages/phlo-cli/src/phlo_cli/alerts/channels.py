"""Hand a message to a webhook or a mail server."""

from __future__ import annotations

import json
import smtplib
import ssl
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from typing import TYPE_CHECKING, Any
from urllib.request import Request, urlopen

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from phlo_cli.alerts.settings import AlertSettings
    from phlo_cli.alerts.values import Alert


def channels_of(settings: AlertSettings) -> dict[str, Callable[[str, Sequence[Alert]], None]]:
    """Return how to send one message of some alerts, by channel; the text names the project."""
    channels: dict[str, Callable[[str, Sequence[Alert]], None]] = {}
    if settings.webhook_url is not None:
        channels["webhook"] = lambda project, alerts: post(settings, project, alerts)
    if settings.mail_to:
        channels["mail"] = lambda project, alerts: mail(settings, project, alerts)
    return channels


def post(settings: AlertSettings, project: str, alerts: Sequence[Alert]) -> None:
    """Post alerts to the webhook.

    Raises:
        OSError: It does not answer, or with an error.
        ValueError: The address is none.
    """
    assert settings.webhook_url is not None
    make = slack_message if settings.webhook_format == "slack" else json_message
    request = Request(
        _http_address(settings.webhook_url.get_secret_value()),
        data=json.dumps(make(project, alerts)).encode(),
        headers={"Content-Type": "application/json", "User-Agent": "phlo"},
        method="POST",
    )
    with urlopen(request, timeout=settings.timeout_seconds) as answer:
        answer.read(1_000)


def _http_address(address: str) -> str:
    if not address.startswith(("https://", "http://")):
        raise ValueError("PHLO_ALERTS_WEBHOOK_URL begins with neither https:// nor http://")
    return address


def json_message(project: str, alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return what is posted as plain JSON: ``project``, ``text`` and a list of ``alerts``."""
    fields = ("type", "title", "text", "command", "at")
    return {
        "project": project,
        "text": subject(project, alerts),
        "alerts": [{name: getattr(alert, name) for name in fields} for alert in alerts],
    }


def slack_message(project: str, alerts: Sequence[Alert]) -> dict[str, Any]:
    """Return what Slack and services like it take: one ``text`` in their markup."""
    parts = [f"*{_slack(subject(project, alerts))}*"]
    for alert in alerts:
        title = [f"*{_slack(alert.title)}*"] if len(alerts) > 1 else []
        parts += [*title, _slack(alert.text), f"`{_slack(alert.command)}`"]
    return {"text": "\n".join(parts)}


def _slack(text: str) -> str:
    """Escape what Slack takes for markup, so that no text of an error mentions everybody.

    >>> _slack("<!channel> & more")
    '&lt;!channel&gt; &amp; more'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def subject(project: str, alerts: Sequence[Alert]) -> str:
    """Return one line that says what a message is about."""
    if len(alerts) == 1:
        return _one_line(f"{project}: {alerts[0].title}")
    return _one_line(f"{project}: {len(alerts)} alerts, the first: {alerts[0].title}")


def _one_line(text: str) -> str:
    return " ".join(text.split())[:200]


def mail(settings: AlertSettings, project: str, alerts: Sequence[Alert]) -> None:
    """Send alerts by e-mail.

    Raises:
        OSError: The mail server does not answer, or refuses the message.
        smtplib.SMTPException: The same, as smtplib tells it.
    """
    message = EmailMessage()
    message["Subject"] = subject(project, alerts)
    message["From"] = settings.mail_from
    message["To"] = ", ".join(settings.mail_to)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain="phlo")
    message.set_content(
        "\n\n".join(f"{a.title}\n{a.at}\n\n{a.text}\n\n  {a.command}" for a in alerts) + "\n"
    )
    with _server(settings) as server:
        if settings.smtp_user is not None and settings.smtp_password is not None:
            server.login(settings.smtp_user, settings.smtp_password.get_secret_value())
        server.send_message(message)


def _server(settings: AlertSettings) -> smtplib.SMTP:
    place = (settings.smtp_host, settings.smtp_port)
    if settings.smtp_security == "tls":
        context = ssl.create_default_context()
        return smtplib.SMTP_SSL(*place, timeout=settings.timeout_seconds, context=context)
    server = smtplib.SMTP(*place, timeout=settings.timeout_seconds)
    if settings.smtp_security == "starttls":
        try:
            server.starttls(context=ssl.create_default_context())
        except BaseException:
            server.close()
            raise
    return server
