"""Draw a report as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from phlo.redaction import MASK, redact
from phlo.words import counted

from phlo_cli.differences import column_texts
from phlo_cli.output import cell
from phlo_cli.report.drawing import MOST_BARS, bar_chart, lay_out, line_path
from phlo_cli.summary import seconds_text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from phlo_cli.report.values import Report

LONGEST_TEXT = 400
"""Characters of a text that the page shows; the rest is cut off."""

_FOLDER = Path(__file__).parent / "template"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


@dataclass(frozen=True)
class Detail:
    """How much of each table the page shows.

    Attributes:
        bars: Bars of a chart by partition.
        columns: Columns listed.
        results: Results of each check.
        partitions: Newest partitions whose numbers are listed.
    """

    bars: int = MOST_BARS
    columns: int = 200
    results: int = 14
    partitions: int = 20


DETAILS = (Detail(), Detail(60, 40, 7, 10), Detail(30, 10, 3, 5))
"""Levels of detail, the fullest first."""

MOST_BYTES = 1_900_000
"""Size at which a page is drawn with less detail."""


def draw_page(report: Report) -> str:
    """Return the whole page, in the fullest detail that keeps it below :data:`MOST_BYTES`.

    Every text is escaped, freed of secrets and cut to :data:`LONGEST_TEXT`; the page's own policy
    forbids requests and every script but its own.
    """
    pages = (_draw(report, detail) for detail in DETAILS[:-1])
    small = (page for page in pages if len(page.encode()) < MOST_BYTES)
    return next(small, None) or _draw(report, DETAILS[-1])


def _draw(report: Report, detail: Detail) -> str:
    labels = [table.label for table in report.tables]
    ids = _ids([*report.lineage.nodes, *labels])
    style, script = (_FOLDER / "page.css").read_text(), (_FOLDER / "page.js").read_text()
    return (
        _environment()
        .get_template("page.html")
        .render(
            report=report,
            detail=detail,
            ids=ids,
            anchors={label: ids[label] for label in labels},
            style=Markup(style),
            script=Markup(script),
            script_hash=_hash(script),
            style_hash=_hash(style),
            graph=lay_out(report.lineage),
        )
    )


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "cell": cell,
        "counted": counted,
        "size": size_text,
        "seconds": seconds_text,
        "columns": column_texts,
        "cut": _cut_name,
        "numbers": path_numbers,
    }
    environment.globals |= {
        "bar_chart": bar_chart,
        "line_path": line_path,
        "masked_sample": masked_sample,
        "mark": _MARKS.get,
    }
    return environment


_MARKS = {"passed": "✓", "failed": "✗", "warned": "!", "skipped": "–", "could not run": "?"}


def _shown(value: Any) -> Any:
    return shown_text(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def path_numbers(path: str) -> Markup:
    """Return the commands and numbers of an SVG path, which are written whole.

    >>> path_numbers("M0 1h2"), path_numbers('M0"><script>')
    (Markup('M0 1h2'), Markup('M0'))
    """
    return Markup(re.sub(r"[^MLChvz\d. -]", "", path))


@lru_cache(maxsize=50_000)
def shown_text(text: str) -> str:
    """Return a text as the page may show it: without secrets and control characters, cut.

    >>> shown_text("password=hunter22 " + "x" * 1000)[-3:]
    'x …'
    """
    clean = _CONTROL.sub("\N{REPLACEMENT CHARACTER}", redact(text[: 20 * LONGEST_TEXT]))
    return clean if len(clean) <= LONGEST_TEXT else f"{clean[:LONGEST_TEXT]} …"


def _cut_name(text: str, length: int = 28) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def size_text(size: int | None) -> str:
    """Format a number of bytes for people.

    >>> size_text(None), size_text(900), size_text(285_001)
    ('-', '900 B', '278 KiB')
    """
    if size is None:
        return "-"
    amount, unit = float(size), "B"
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if amount < 1024 or unit == "TiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if amount >= 10 or unit == "B" else f"{amount:.1f} {unit}"


def masked_sample(sample: Mapping[str, Any], masked: frozenset[str] | None) -> dict[str, str]:
    """Return a row of a comparison with its sensitive values masked.

    >>> masked_sample({"id": 1, "mail before": "a@b"}, frozenset({"mail"}))
    {'id': '1', 'mail before': '***'}
    """
    return {
        name: MASK if masked is None or _column_of(name) in masked else cell(value)
        for name, value in sample.items()
    }


def _column_of(name: str) -> str:
    return name.removesuffix(" before").removesuffix(" after")


def _ids(names: Iterable[str]) -> dict[str, str]:
    """Return an id for each name, fit for links, that stays the same from page to page."""
    ids: dict[str, str] = {}
    for name in dict.fromkeys(names):
        plain = "t-" + (re.sub(r"[^a-zA-Z0-9]+", "-", name)[:60].strip("-") or "x")
        taken = set(ids.values())
        ids[name] = next(
            one
            for one in (plain, *(f"{plain}-{n}" for n in range(2, len(taken) + 3)))
            if one not in taken
        )
    return ids


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
