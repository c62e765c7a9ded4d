"""A small server that speaks Nightscout's entries API, with the quirks of real ones.

Readings come every five minutes, newest first; ten of them where no ``count`` is given. The range
is compared as text, as MongoDB does. One of two devices reports mmol/l. A sensor that was changed
is silent for two hours, an upload that was tried again arrives twice, and what a phone without
network kept back comes later than the rest.

Run it alone with ``python -m workflows.ingestion.nightscout.server 1337``.
"""

import hashlib
import itertools
import json
import math
import sys
import threading
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

EVERY = timedelta(minutes=5)
MG_DL_PER_MMOL = 18.0182
DEFAULT_COUNT = 10
MEALS = ((7.5, 55), (12.5, 65), (19.0, 75))
DIRECTIONS = (
    (-15, 7, "DoubleDown"),
    (-10, 6, "SingleDown"),
    (-5, 5, "FortyFiveDown"),
    (5, 4, "Flat"),
    (10, 3, "FortyFiveUp"),
    (15, 2, "SingleUp"),
)


def glucose(moment: datetime) -> int:
    """Blood glucose in mg/dl at a moment: a daily rhythm, three meals and some noise."""
    hours = moment.hour + moment.minute / 60
    rhythm = 112 + 14 * math.sin((hours - 3) / 24 * 2 * math.pi)
    heights = {meal: height * (0.6 + _chance(moment.date(), meal)) for meal, height in MEALS}
    meals = sum(_rise(hours - meal, height) for meal, height in heights.items())
    noise = 8 * (_chance(moment, "noise") - 0.5) - 70 * _night_low(moment, hours)
    return round(min(max(rhythm + meals + noise, 42), 380))


def _rise(hours_since: float, height: float) -> float:
    return height * hours_since * math.exp(1 - hours_since) if hours_since > 0 else 0.0


def _night_low(moment: datetime, hours: float) -> float:
    """How deep a night of low values is; every third night has one."""
    return math.exp(-((hours - 3.5) ** 2)) if moment.toordinal() % 3 == 0 else 0.0


def _chance(*parts: object) -> float:
    """A number from 0 to 1 that depends on its arguments alone."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def entries_of(day: date, *, with_late: bool = True) -> list[dict]:
    """The entries of one day, oldest first.

    Args:
        day: In UTC.
        with_late: Whether the readings that a phone kept back have arrived.
    """
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    moments = [start + EVERY * number for number in range(288)]
    there = [m for m in moments if not _is_missing(m) and (with_late or not _is_late(m))]
    return [entry for moment in there for entry in _uploads(moment)]


def _is_missing(moment: datetime) -> bool:
    is_warming_up = moment.toordinal() % 4 == 1 and 10 <= moment.hour < 12
    return is_warming_up or _chance(moment, "lost") < 0.01


def _is_late(moment: datetime) -> bool:
    return moment.hour == 15 and 20 <= moment.minute < 50


def _uploads(moment: datetime) -> list[dict]:
    """One entry, or two where the upload was tried again: under an id of its own, or the same."""
    entry = _entry(moment)
    again = _chance(moment, "again")
    if again < 0.02:
        return [entry, {**entry, "_id": _id(moment, "again")}]
    return [entry, entry] if again < 0.03 else [entry]


def _entry(moment: datetime) -> dict:
    value, before = glucose(moment), glucose(moment - EVERY)
    trend, direction = next(
        ((t, name) for limit, t, name in DIRECTIONS if value - before < limit), (1, "DoubleUp")
    )
    is_mmol = moment.hour >= 18
    uploaded = moment + (timedelta(hours=9) if _is_late(moment) else timedelta(seconds=20))
    return {
        "_id": _id(moment),
        "type": "sgv",
        "sgv": round(value / MG_DL_PER_MMOL, 1) if is_mmol else value,
        "units": "mmol" if is_mmol else "mg/dl",
        "date": int(moment.timestamp() * 1000),
        "dateString": _text(moment),
        "trend": trend,
        "direction": direction,
        "device": "xDrip-LibreLink" if is_mmol else "share2",
        "sysTime": _text(uploaded),
        "utcOffset": 0,
    }


def _id(*parts: object) -> str:
    """An id as MongoDB makes them: 24 hexadecimal digits."""
    return hashlib.sha256("/".join(map(str, parts)).encode()).hexdigest()[:24]


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _is_inside(text: str, lower: str, upper: str) -> bool:
    return lower <= text and (not upper or text < upper)


class NightscoutServer(ThreadingHTTPServer):
    """Serves ``/api/v1/entries.json``.

    Attributes:
        days_asked: Days that were asked for; what is late comes when one is asked for again.
    """

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.days_asked: set[date] = set()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.server_port}"

    def find(self, lower: str, upper: str, count: int) -> list[dict]:
        """Return entries, newest first, whose ``dateString`` is in ``lower <= text < upper``."""
        first = date.fromisoformat(lower[:10])
        last = date.fromisoformat(upper[:10]) if upper else datetime.now(UTC).date()
        days = [first + timedelta(days=n) for n in range((last - first).days + 1)]
        days = [day for day in days if not upper or f"{day}T00:00:00.000Z" < upper]
        found = [e for day in days for e in entries_of(day, with_late=day in self.days_asked)]
        self.days_asked.update(days)
        newest_first = reversed([e for e in found if _is_inside(e["dateString"], lower, upper)])
        return list(itertools.islice(newest_first, count))


class _Handler(BaseHTTPRequestHandler):
    server: NightscoutServer

    def do_GET(self) -> None:
        """Answer one request."""
        address = urlsplit(self.path)
        if address.path not in ("/api/v1/entries.json", "/api/v1/entries/sgv.json"):
            self._answer(404, {"status": 404, "message": "Not found"})
            return
        options = {name: values[-1] for name, values in parse_qs(address.query).items()}
        today = datetime.now(UTC).date().isoformat()
        lower = options.get("find[dateString][$gte]", today)
        upper = options.get("find[dateString][$lt]", "")
        count = int(options.get("count", DEFAULT_COUNT))
        self._answer(200, self.server.find(lower, upper, count))

    def _answer(self, status: int, content: object) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - http.server's
        """Stay silent."""


def start() -> NightscoutServer:
    """Start a server in a thread of this process, on a free port."""
    server = NightscoutServer()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


if __name__ == "__main__":
    NightscoutServer(int(sys.argv[1]) if len(sys.argv) > 1 else 1337).serve_forever()
