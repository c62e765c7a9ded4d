"""Alerts: one message per event, to receivers that are there and to some that fail."""

import json
import random
import threading
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import dagster as dg
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from aiosmtpd.controller import Controller
from phlo.config import get_settings
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Replace
from phlo_cli.alerts.channels import slack_message, subject
from phlo_cli.alerts.send import send_waiting
from phlo_cli.alerts.settings import is_quiet
from phlo_cli.alerts.values import Alert, Journal
from phlo_testing.ports import free_ports

PROJECT = """
    import dagster as dg
    from phlo.errors import AuditError

    days = dg.DailyPartitionsDefinition("2025-01-01", end_date="2025-01-06")

    @dg.asset
    def broken() -> None:
        raise dg.Failure("password=hunter2222 is wrong", allow_retries=False)

    @dg.asset(retry_policy=dg.RetryPolicy(max_retries=1))
    def withheld() -> None:
        raise AuditError("2 rows are wrong.")

    @dg.asset(partitions_def=days)
    def daily(context) -> None:
        if context.partition_key == "2025-01-02":
            raise ValueError("The second is bad.")
"""
WATCHED = """
    from datetime import timedelta

    import dagster as dg

    @dg.asset(freshness_policy=dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=2)))
    def watched() -> None: ...
"""


@dataclass
class Receiver:
    """An HTTP server that answers with the codes it is given, then with 200."""

    codes: list[int] = field(default_factory=list)
    asked: int = 0
    taken: list[dict] = field(default_factory=list)
    url: str = ""

    def answer(self, body: bytes) -> int:
        self.asked += 1
        code = self.codes.pop(0) if self.codes else 200
        if code == 200:
            self.taken.append(json.loads(body))
        return code

    @property
    def alerts(self) -> list[dict]:
        return [alert for message in self.taken for alert in message["alerts"]]


@pytest.fixture
def receiver():
    state = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(state.answer(body))
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/hook/T0KENpart9931"
    yield state
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_failed_run_is_told_once_and_never_fails_for_its_message(phlo_project, phlo, receiver):
    phlo_project.write("workflows/plain.py", PROJECT)
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL=receiver.url)
    receiver.codes = [500]
    failed = phlo("materialize", "broken")
    assert (failed.code, receiver.asked, receiver.taken) == (1, 1, [])
    assert "T0KENpart9931" not in failed.out + failed.err

    assert phlo("alerts", "check", "--json").json == {"sent": 1, "quiet_hours": None}
    assert phlo("alerts", "check").out == "Sent 0 alerts.\n"
    (alert,) = receiver.alerts
    assert (alert["type"], alert["title"]) == ("failed_run", "broken failed")
    assert alert["text"] == "password=*** is wrong"
    run_id = alert["command"].removeprefix("phlo logs --run-id ")
    assert phlo("logs", "--run-id", run_id, "--json").json

    assert phlo("materialize", "withheld").code == 1  # its step is tried twice
    assert [a["type"] for a in receiver.alerts] == ["failed_run", "blocked_audit"]
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL="http://127.0.0.1:1/nobody-listens")
    assert phlo("materialize", "broken").code == 1
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL="gopher://T0KENpart9931")
    told = phlo("alerts", "test")
    assert (told.code, "T0KENpart9931" in told.out + told.err) == (1, False)


def test_a_backfill_is_one_event_whatever_fails_in_it(phlo_project, phlo, receiver):
    phlo_project.write("workflows/plain.py", PROJECT)
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL=receiver.url)
    dates = ("--start-date", "2025-01-01", "--end-date", "2025-01-02")
    assert phlo("backfill", "daily", *dates).code == 1
    assert phlo("backfill", "--resume").code == 1
    (alert,) = receiver.alerts
    assert alert["type"] == "failed_backfill"
    assert alert["title"] == "A backfill of daily failed for 1 of 2 partitions"
    assert "2025-01-02: ValueError: The second is bad." in alert["text"]
    assert alert["command"] == "phlo backfill --resume"


def quarantine(rows: int) -> None:
    table = TableName.parse("quarantine.bronze__orders")
    values = pa.table({"key": [str(n) for n in range(rows)]})
    store = open_lake().store
    store.publish([store.stage(table, ds.dataset(values), Replace(), schema=values.schema)])


def test_stale_tables_and_growing_quarantines_are_told_once_each(phlo_project, phlo, receiver):
    phlo_project.write("workflows/watched.py", WATCHED)
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL=receiver.url, PHLO_ALERTS_QUARANTINE_ROWS="3")

    def told(rows: int) -> list[str]:
        quarantine(rows)
        before = len(receiver.alerts)
        assert phlo("alerts", "check").code == 0
        return [f"{a['type']}: {a['title']}" for a in receiver.alerts[before:]]

    grew = "growing_quarantine: The quarantine of bronze.orders grew by"
    assert told(2) == ["stale_table: watched is stale"]
    assert told(3) == [f"{grew} 3 rows"]
    assert told(4) == []
    assert told(1) == []
    assert told(5) == [f"{grew} 4 rows"]


def test_nothing_is_sent_in_quiet_hours_and_all_of_it_after(phlo_project, phlo, receiver):
    phlo_project.write("workflows/watched.py", WATCHED)
    now = datetime.now(UTC)
    around = [(now + timedelta(hours=h)).strftime("%H:%M") for h in (-2, 2)]
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL=receiver.url, PHLO_ALERTS_QUIET_HOURS="-".join(around))
    assert phlo("alerts", "check", "--json").json["sent"] == 0
    assert receiver.asked == 0
    phlo_project.set(PHLO_ALERTS_QUIET_HOURS="")
    assert phlo("alerts", "check", "--json").json["sent"] == 1


class Mailbox:
    """A handler of a real SMTP server."""

    def __init__(self) -> None:
        self.envelopes: list = []

    async def handle_DATA(self, server, session, envelope):  # noqa: N802 - aiosmtpd's name
        self.envelopes.append(envelope)
        return "250 OK"


def test_mail_reaches_a_real_server_and_one_that_is_gone_is_told(phlo_project, phlo):
    box = Mailbox()
    server = Controller(box, hostname="127.0.0.1", port=free_ports(1)[0])
    server.start()
    phlo_project.set(
        PHLO_ALERTS_MAIL_TO="ann@example.com, bob@example.com",
        PHLO_ALERTS_SMTP_HOST="127.0.0.1",
        PHLO_ALERTS_SMTP_PORT=str(server.port),
        PHLO_ALERTS_SMTP_SECURITY="none",
    )
    try:
        assert phlo("alerts", "test").code == 0
    finally:
        server.stop()
    (envelope,) = box.envelopes
    assert envelope.rcpt_tos == ["ann@example.com", "bob@example.com"]
    text = envelope.content.decode()
    assert "Subject: project: A test of alerts" in text
    assert "  phlo alerts check" in text

    gone = phlo("alerts", "test", "--json")
    assert (gone.code, [row["channel"] for row in gone.json]) == (1, ["mail"])
    assert "ConnectionRefusedError" in gone.json[0]["error"]


def test_without_a_channel_there_is_no_sensor_and_a_hint(phlo_project, phlo, receiver):
    assert not phlo_project.definitions().sensors
    answer = phlo("alerts", "check")
    assert (answer.code, "PHLO_ALERTS_WEBHOOK_URL" in answer.err) == (1, True)
    phlo_project.write("workflows/watched.py", WATCHED)
    phlo_project.set(PHLO_ALERTS_WEBHOOK_URL=receiver.url)
    definitions = phlo_project.definitions()
    (sensor,) = definitions.sensors
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, definitions=definitions)
        ticked = [sensor.evaluate_tick(context) for _ in range(2)]
    told = ["Sent 1 alerts.", "Sent 0 alerts."]
    assert [(t.run_requests, t.skip_message) for t in ticked] == [([], text) for text in told]
    assert [a["title"] for a in receiver.alerts] == ["watched is stale"]
    assert (get_settings().state_dir / "alerts.json").exists()


def alert(n: int, text: str = "why") -> Alert:
    return Alert(
        f"run:{n}", "failed_run", f"{n} failed", text, "phlo logs", "2025-01-01T00:00:00+00:00"
    )


@pytest.mark.parametrize("seed", range(40))
def test_every_event_reaches_every_channel_once_whatever_fails(seed):
    chance = random.Random(seed)
    arrivals = [[chance.randrange(20) for _ in range(chance.randrange(8))] for _ in range(5)]
    failures = [chance.random() < 0.4 for _ in range(30)]
    room = chance.randint(1, 3)
    journal, taken = Journal(), {"webhook": [], "mail": []}
    messages = dict.fromkeys(taken, 0)

    def channel(name):
        def send(project, alerts):
            if failures and failures.pop():
                raise OSError("It is down.")
            taken[name] += [one.key for one in alerts]
            messages[name] += 1

        return send

    channels = {name: channel(name) for name in taken}
    for numbers in arrivals:
        for n in numbers:
            journal.add(alert(n), list(channels))
        send_waiting(journal, channels, "p", room)
    assert all(count <= room for count in messages.values())
    failures.clear()
    journal.sent_at = {}
    send_waiting(journal, channels, "p", room)
    events = sorted({f"run:{n}" for numbers in arrivals for n in numbers})
    assert [sorted(keys) for keys in taken.values()] == [events, events]
    assert journal.waiting == []


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        (None, time(3), False),
        ("22:00-07:00", time(22), True),
        ("22:00-07:00", time(6, 59), True),
        ("22:00-07:00", time(21, 59), False),
        ("12:00-13:00", time(12, 30), True),
        ("12:00-13:00", time(13), False),
    ],
)
def test_quiet_hours_begin_inclusive_and_end_exclusive(hours, at, expected):
    assert is_quiet(hours, at) is expected


def test_no_text_is_markup_or_a_header_of_its_own():
    hostile = alert(1, "<!channel> & <http://evil|here>")
    text = slack_message("p", [hostile])["text"]
    assert "&lt;!channel&gt; &amp; &lt;http" in text
    assert "<" not in text
    split = Alert("k", "failed_run", "a\nBcc: eve@example.com", "", "", "")
    assert subject("p", [split]) == "p: a Bcc: eve@example.com"
    assert subject("p", [split, hostile]).startswith("p: 2 alerts, the first: ")
