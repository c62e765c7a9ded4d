"""`phlo report`: its numbers against pyiceberg's, its page against hostile data."""

import re
import sys
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from html.parser import HTMLParser

import pyarrow as pa
import pyarrow.dataset as ds
import pytest
from phlo.config import get_settings
from phlo.lake import open_branch, open_lake
from phlo.names import TableName
from phlo.orchestration.instance import open_instance
from phlo.values import Append, Replace
from phlo_cli.lineage import Lineage, Node
from phlo_cli.project_index import IndexedAsset, ProjectIndex, load_index
from phlo_cli.report.comparison import with_comparison
from phlo_cli.report.drawing import MOST_BARS, bar_chart, lay_out, line_path
from phlo_cli.report.gather import gather_report
from phlo_cli.report.marts import choose_charts
from phlo_cli.report.page import draw_page
from phlo_cli.report.values import CheckRun, ColumnRow, PartitionRows, Report, RunRow, TableRow
from phlo_cli.status import AssetState
from pyiceberg.catalog import load_catalog

PROJECT = """
    import dagster as dg
    import pandera.pandas as pa
    from phlo_dlt import phlo_ingestion
    from phlo_quality import CountCheck, phlo_quality


    class OrderSchema(pa.DataFrameModel):
        id: str
        mail: str = pa.Field(metadata={"sensitive": True})
        value: int = pa.Field(ge=0, description="In <b>cents</b>.")


    @phlo_ingestion(
        table_name="orders", unique_key=["id", "mail"], validation_schema=OrderSchema,
        group="shop", invalid_rows="quarantine",
    )
    def orders(partition_date: str):
        day = partition_date[-1]
        good = [{"id": f"{day}-{n}", "mail": "a@example.com", "value": n} for n in range(int(day))]
        names = ["<script>alert(1)</script>", "Ünïcode \\u202e 😀", "x" * 10_000]
        return good + [{"id": n, "mail": "eve@example.com", "value": -1} for n in names]


    @phlo_quality(table="bronze.orders", checks=[CountCheck(min_count=1)])
    def orders_quality(): ...


    @dg.asset(deps=["dlt_orders"])
    def broken() -> None:
        raise ValueError("password=hunter2222 <img src=x onerror=alert(1)>")
"""


class Page(HTMLParser):
    """The elements of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.elements: list[tuple[str, dict]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def of(self, *tags: str) -> list[dict]:
        return [attributes for tag, attributes in self.elements if tag in tags]


def pyiceberg_table(name: str):
    state = get_settings().state_dir
    uri, warehouse = f"sqlite:///{state / 'catalog.db'}", (state / "warehouse").as_uri()
    return load_catalog("lake", type="sql", uri=uri, warehouse=warehouse).load_table(name)


def gathered() -> Report:
    settings = get_settings()
    with open_instance(settings) as instance:
        return gather_report(settings, load_index(settings), instance)


def test_the_report_of_a_project(phlo_project, phlo, tmp_path):
    """Two days of orders with a day between that was never loaded, and a failed run."""
    phlo_project.write("workflows/ingestion/shop/orders.py", PROJECT)
    for day in ("2025-01-02", "2025-01-04"):
        assert phlo("materialize", "orders", "--partition", day).code == 0
    assert phlo("materialize", "broken").code == 1
    for name in [n for n in sys.modules if n.split(".")[0] == "workflows"]:
        del sys.modules[name]
    file = tmp_path / "out" / "page.html"
    answer = phlo("report", "--out", str(file), "--json")
    assert answer.code == 0
    assert (answer.json["file"], answer.json["bytes"]) == (str(file), file.stat().st_size)
    assert "workflows" not in sys.modules  # nothing changed, so nothing was imported

    report = gathered()
    orders = next(table for table in report.tables if table.label == "bronze.orders")
    stored = pyiceberg_table("bronze.orders")
    scanned = stored.scan().to_arrow()
    by_day = Counter(scanned["_phlo_partition_date"].to_pylist())
    kept = pyiceberg_table("quarantine.bronze__orders").scan().to_arrow()
    rejected = Counter(kept["_phlo_partition_date"].to_pylist())
    assert {p.day: p.rows for p in orders.partitions if p.rows} == dict(by_day)
    assert {p.day: p.quarantined for p in orders.partitions if p.quarantined} == dict(rejected)
    assert [p.day.isoformat() for p in orders.partitions if p.is_gap] == ["2025-01-03"]
    assert orders.state.rows == scanned.num_rows == 6
    assert orders.size_bytes == sum(f.file.file_size_in_bytes for f in stored.scan().plan_files())
    assert orders.quarantined == kept.num_rows == 6
    assert [(reason.rows, len(reason.keys)) for reason in orders.reasons] == [(6, 3)]
    assert [[one.partition for one in results] for results in orders.checks.values()] == [
        ["2025-01-04", "2025-01-02"]
    ]
    assert [run.status for run in report.runs] == ["failure", "success", "success"]
    assert [table.state.state for table in report.tables if table.label == "broken"] == ["failed"]

    text = file.read_text()
    _assert_readable(text)
    assert "a@example.com" not in text
    assert "eve@example.com" not in text
    assert "hunter2222" not in text
    assert "\u202e" not in text
    assert "x" * 1_000 not in text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "Ünïcode" in text
    assert "never made" in text
    assert len(text) < 100_000

    assert orders.account == {"extracted": 7, "inserted": 4, "quarantined": 3}
    newest, *_ = phlo("catalog", "history", "orders", "--json").json
    assert phlo("undo", newest["run"], "--with-later").code == 0
    orders = next(table for table in gathered().tables if table.label == "bronze.orders")
    assert orders.account == {"extracted": 5, "inserted": 2, "quarantined": 3}
    assert (orders.state.partition, orders.state.rows) == ("2025-01-02", 2)

    phlo_project.write("workflows/bad.py", "import nothing_like_that\n")
    answer = phlo("report")
    assert (answer.code, "this is its last known state" in answer.err) == (0, True)
    page = (get_settings().state_dir / "report.html").read_text()
    assert "this is its last known state" in page
    assert "bronze.orders" in page


def _assert_readable(text: str) -> None:
    """Assert what a screen reader, a keyboard and a page without a network need."""
    page = Page(text)
    assert len(page.of("script")) == len(page.of("style")) == len(page.of("h1")) == 1
    assert page.of("img", "link", "iframe", "object", "form", "base") == []
    assert [e for _, e in page.elements if "src" in e or "action" in e] == []
    assert [e["href"] for _, e in page.elements if not e.get("href", "#").startswith("#")] == []
    assert "https://" not in text
    policy = page.of("meta")[1]["content"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert {a["href"][1:] for a in page.of("a") if "href" in a} <= set(ids)
    assert page.of("html")[0]["lang"] == "en"
    assert all("scope" in header for header in page.of("th"))
    assert all("aria-label" in svg or "aria-hidden" in svg for svg in page.of("svg")[:3])
    scrolled = [e for _, e in page.elements if "scroll" in (e.get("class") or "").split()]
    assert {(e["tabindex"], e["role"]) for e in scrolled} <= {("0", "region")}
    assert all(e.get("aria-label") or e.get("aria-labelledby") for e in scrolled)
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert all(after <= before + 1 for before, after in zip(levels, levels[1:], strict=False))


def test_a_project_without_assets_has_a_page(phlo_project, phlo):
    assert phlo("report").code == 0
    page = (get_settings().state_dir / "report.html").read_text()
    _assert_readable(page)
    assert "The project has no asset yet." in page


def state(name: str, **changes) -> AssetState:
    values = dict.fromkeys(("made_at", "partition", "newest_partition", "freshness"), None)
    values |= {"key": name, "table": name, "group": "g", "state": "ok", "rows": 1_000_000}
    return AssetState(**values | changes)


def many_tables(tables: int, partitions: int) -> Report:
    """A report of many tables, each made of the one before, with long names and messages."""
    now = datetime(2025, 6, 1, tzinfo=UTC)
    names = [f"bronze.a_table_with_quite_a_long_name_{n}" for n in range(tables)]
    days = [
        PartitionRows(date(2022, 1, 1) + timedelta(days=n), n * 997 % 100_000, n % 7, n % 11 != 0)
        for n in range(partitions)
    ]
    results = [
        CheckRun(
            now - timedelta(hours=n), f"run-{n}", "failed" if n % 5 else "passed", "m" * 300, None
        )
        for n in range(14)
    ]
    checks = {f"suite__a_check_with_a_long_name_{n}": results for n in range(5)}
    columns = [ColumnRow(f"column_{n}", "int64", "d" * 60, ("a.b",), False) for n in range(40)]
    nodes = [
        Node(name, "table", name, (names[n - 1],) if n % 10 else ()) for n, name in enumerate(names)
    ]
    return Report(
        project="large",
        branch="main",
        made_at=now,
        warning="",
        tables=[
            TableRow(state(n), 10**9, 30, {"inserted": 9}, days, columns=columns, checks=checks)
            for n in names
        ],
        runs=[RunRow(f"run-{n}", "", "failure", None, now, 1.5, 3, "e" * 500) for n in range(50)],
        marts=[],
        lineage=Lineage({node.name: node for node in nodes}),
        sensitive={},
    )


def test_a_hundred_tables_of_a_thousand_partitions_stay_small_and_whole():
    text = draw_page(many_tables(100, 1_000))
    assert len(text.encode()) < 2_000_000
    _assert_readable(text)
    assert text.count("<article") == 100
    bars = re.findall(r'<path class="bar" d="([^"]*)"', text)
    assert {path.count("M") for path in bars} == {path.count("z") for path in bars} == {59}
    assert len(re.findall(r"\d+ partitions a bar", text)) == 100
    assert "data-values" in draw_page(many_tables(1, 1))


@pytest.mark.parametrize("count", [1, 2, MOST_BARS, MOST_BARS + 1, 1_000])
def test_bars_hold_every_row_once(count):
    days = [
        PartitionRows(date(2022, 1, 1) + timedelta(days=n), n % 13, n % 3, n % 2 == 0)
        for n in range(count)
    ]
    chart = bar_chart(days)
    assert len(chart.bars) <= MOST_BARS
    assert sum(bar.rows for bar in chart.bars) == sum(day.rows for day in days)
    assert sum(bar.quarantined for bar in chart.bars) == sum(day.quarantined for day in days)
    assert sum(bar.gaps for bar in chart.bars) == sum(day.is_gap for day in days)
    assert chart.rows_path.count("M") == sum(bar.rows > 0 for bar in chart.bars)


def test_gaps_are_named_from_first_to_last():
    made = {1, 2, 5, 7}
    days = [PartitionRows(date(2025, 1, n), int(n in made), 0, n in made) for n in range(1, 8)]
    assert bar_chart(days).gap_ranges == ["2025-01-03 to 2025-01-04", "2025-01-06"]


def test_a_line_begins_left_and_ends_right_with_zero_in_sight():
    assert line_path([5.0, 10.0]) == ("M0 50L720 0", 0.0, 10.0)
    assert line_path([-5.0, -1.0])[1:] == (-5.0, 0.0)


def test_a_node_stands_right_of_all_that_it_is_made_of():
    nodes = {n: Node(n, "table", n, p) for n, p in [("a", ()), ("b", ("a",)), ("c", ("a", "b"))]}
    placed = {box.name: box.left for box in lay_out(Lineage(nodes)).boxes}
    assert placed["a"] < placed["b"] < placed["c"]


def publish(name: str, rows: pa.Table) -> TableName:
    table = TableName.parse(name)
    store = open_lake().store
    how = Append(on_rerun="append")
    store.publish([store.stage(table, ds.dataset(rows), how, schema=rows.schema)])
    return table


def orders(**values: int) -> pa.Table:
    rows = [{"id": n, "mail": f"{n}@example.com", "value": v} for n, v in values.items()]
    return pa.Table.from_pylist(rows)


def test_a_comparison_comes_first_with_sensitive_values_masked(phlo_project, phlo, tmp_path):
    before, after = orders(a=1, b=2, c=3), orders(a=1, b=9, d=4)
    table, kept = publish("bronze.orders", before), publish("quarantine.bronze__orders", before)
    open_lake().store.create_branch("dev")
    branch = open_branch("dev").store
    for name in (table, kept):
        stage = branch.stage(name, ds.dataset(after), Replace(), schema=after.schema)
        branch.publish([stage])

    file = tmp_path / "changes.html"
    answer = phlo("report", "--diff", "main", "dev", "--out", str(file), "--json")
    assert answer.json["changed_tables"] == ["bronze.orders", "quarantine.bronze__orders"]
    page = file.read_text()
    _assert_readable(page)
    assert page.index("What changed from main to dev") < page.index('id="tables"')
    assert "2 rows added, 2 removed, 0 changed" in page  # no asset tells a key
    assert open_lake().store.load(table).row_count == 3

    made = IndexedAsset("o", str(table), (), "g", (), sensitive=("mail",), unique_key=("id",))
    index = ProjectIndex("", (), "", (made,), ())
    node = Node(str(table), "table", "o")
    report = replace(many_tables(1, 1), lineage=Lineage({node.name: node}))
    report = replace(report, sensitive={str(table): frozenset({"mail"})})
    compared = with_comparison(report, index, open_lake().store, "main", "dev", "UTC")
    assert [
        (c.difference.added, c.difference.removed, c.difference.changed)
        for c in compared.comparison.tables
    ] == [(1, 1, 1), (2, 2, 0)]
    page = draw_page(compared)
    assert "1 row added, 1 removed, 1 changed" in page
    assert "example.com" not in page

    wrong = phlo("report", "--diff", "dev", "main")
    assert (wrong.code, "Hint: --diff main dev" in wrong.err) == (1, True)
    assert phlo("report", "--diff", "main", "nowhere").code == 2


def test_two_snapshots_of_a_table_are_compared(phlo_project, phlo, tmp_path):
    publish("bronze.other", orders(z=1))
    table = publish("bronze.orders", orders(a=1))
    publish("bronze.orders", orders(b=2, c=3))
    newest = open_lake().store.history(table)[0].snapshot_id

    file = tmp_path / "changes.html"
    answer = phlo("report", "--diff", f"{newest}^", str(newest), "--out", str(file), "--json")

    assert answer.json["changed_tables"] == ["bronze.orders"]
    page = file.read_text()
    assert f"What changed from {newest}^ to {newest}" in page
    assert "2 rows added, 0 removed, 0 changed" in page
    assert phlo("report", "--diff", "4f2a", "main").code == 2


def test_charts_follow_the_types_of_a_mart(phlo_project):
    day = date(2025, 1, 1)
    daily = pa.table({"day": [day, day, day + timedelta(days=1)], "n": [1, 3, 5], "t": list("abc")})
    texts = pa.table({"t": ["a", "b", "b"]})
    numbers = pa.table({"n": [1, 2]})
    lake = open_lake()

    (line,) = choose_charts(lake, publish("marts.daily", daily), frozenset())
    assert (line.shape, line.by, line.of) == ("line", "day", "n")
    assert line.points == [("2025-01-01", 2.0), ("2025-01-02", 5.0)]
    (bars,) = choose_charts(lake, publish("marts.one_day", daily[:2]), frozenset())
    assert (bars.shape, bars.points) == ("bars", [("2025-01-01", 2.0)])
    (bars,) = choose_charts(lake, publish("marts.texts", texts), frozenset())
    assert (bars.shape, bars.of, bars.points) == ("bars", None, [("b", 2.0), ("a", 1.0)])
    assert choose_charts(lake, publish("marts.numbers", numbers), frozenset()) == []
    hourly = pa.table({"hour": [1, 0], "level": [2.5, 3.5]})
    (line,) = choose_charts(lake, publish("marts.hourly", hourly), frozenset())
    assert (line.by, line.of, line.points) == ("hour", "level", [("0", 3.5), ("1", 2.5)])
    began = datetime(2025, 1, 1, tzinfo=UTC)
    moments = pa.table(
        {"at": [began + timedelta(minutes=n) for n in range(1_000)], "n": range(1_000)}
    )
    (line,) = choose_charts(lake, publish("marts.moments", moments), frozenset())
    assert (line.unit, len(line.points), line.has_more) == ("hour", 17, False)
    assert line.points[0] == ("2025-01-01 00:00", 29.5)
    assert line.points[-1] == ("2025-01-01 16:00", 979.5)
    masked = choose_charts(lake, TableName.parse("marts.daily"), frozenset({"day", "n"}))
    assert [(c.by, c.of) for c in masked] == [("t", None)]
    assert choose_charts(lake, TableName.parse("marts.daily"), None) == []
