"""`phlo alerts`: tell people of failures, and try whether they would be told."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
from phlo.words import counted

from phlo_cli.output import output_options

if TYPE_CHECKING:
    from phlo_cli.alerts.settings import AlertSettings
    from phlo_cli.output import Output


@click.group()
def alerts() -> None:
    """Tell people of failed runs, blocked audits, stale tables and growing quarantines."""


@alerts.command()
@output_options()
def check(output: Output) -> None:
    """Look for what happened since the last time, and send it.

    `phlo materialize`, `phlo backfill` and `phlo dev` do so by themselves. Let cron call it where
    none of them runs when a table becomes stale.
    """
    wishes = _require_configured()
    from phlo.orchestration.instance import open_instance

    from phlo_cli.alerts.send import check_alerts
    from phlo_cli.known_project import read_project
    from phlo_cli.liveness import end_abandoned_runs
    from phlo_cli.project_settings import require_project

    index, settings = read_project(output), require_project()
    with open_instance(settings) as instance:
        end_abandoned_runs(settings, instance)
        sent = check_alerts(settings, index, instance) or 0
    if output.as_json:
        output.json({"sent": sent, "quiet_hours": wishes.quiet_hours})
    else:
        output.line(f"Sent {counted(sent, 'alert')}.")


@alerts.command()
@output_options()
@click.pass_context
def test(ctx: click.Context, output: Output) -> None:
    """Send a test message by every channel; the exit code is 1 where one does not take it."""
    wishes = _require_configured()
    from phlo.redaction import redact

    from phlo_cli.alerts.channels import channels_of
    from phlo_cli.alerts.values import Alert
    from phlo_cli.project_settings import require_project

    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = "This is what an alert looks like. Nothing failed."
    alert = Alert("test", "test", "A test of alerts", text, "phlo alerts check", now)
    results = []
    for name, send in channels_of(wishes).items():
        error = None
        try:
            send(require_project().project_dir.name, [alert])
        except Exception as failure:  # noqa: BLE001 - told below
            error = redact(f"{type(failure).__name__}: {failure}")
        results.append({"channel": name, "sent": error is None, "error": error})
    output.rows(results, columns=("channel", "sent", "error"), empty="")
    ctx.exit(0 if all(result["sent"] for result in results) else 1)


def _require_configured() -> AlertSettings:
    from phlo.errors import ConfigurationError

    from phlo_cli.alerts.settings import alert_settings

    wishes = alert_settings()
    if not wishes.is_configured:
        raise ConfigurationError(
            "Nobody is told of anything: no channel of alerts is configured.",
            hint="Set PHLO_ALERTS_WEBHOOK_URL or PHLO_ALERTS_MAIL_TO in .env.",
        )
    return wishes
