"""One dbt project of every kind of node, by every door, held to plain dbt-duckdb.

``whole_dbt`` is a project with seeds, sources, every materialization and strategy, snapshots,
Python models, versions, a package, hooks, contracts, tests of all kinds, exposures, groups and
documents. It is run twice, the second time over changed data and code, by ``phlo materialize``,
``phlo dbt`` and ``dbt`` itself. Rows, results of nodes and exit codes are those of dbt-duckdb on
its own tables.
"""

import contextlib
import json
import os
import shutil
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import duckdb
import phlo_dbt
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import yaml
from phlo_testing.processes import DBT_PRELOAD, in_processes
from pyiceberg.catalog.sql import SqlCatalog

pytestmark = pytest.mark.slow
PROJECT = Path(__file__).with_name("whole_dbt")
DBT = "workflows/transforms/dbt"
PRELOAD = [*DBT_PRELOAD, "phlo_dlt.step"]
PAYMENTS = pa.schema(
    [("id", pa.int64()), ("order_id", pa.int64()), ("method", pa.string()),
     ("cents", pa.int64()), ("paid_at", pa.timestamp("us"))]
)  # fmt: skip
EVENTS = pa.schema([("id", pa.int64()), ("name", pa.string())])
DAY = datetime(2025, 3, 1)
SOURCES = [
    {
        "bronze.payments": pa.Table.from_pylist(
            [{"id": 1, "order_id": 2, "method": "card", "cents": 725, "paid_at": DAY}], PAYMENTS
        ),
        "bronze.events": pa.Table.from_pylist([{"id": 1, "name": "seen"}], EVENTS),
    },
    {
        "bronze.payments": pa.Table.from_pylist(
            [
                {"id": 1, "order_id": 2, "method": "card", "cents": 725, "paid_at": DAY},
                {"id": 2, "order_id": 4, "method": "shells", "cents": 9999, "paid_at": DAY},
            ],
            PAYMENTS,
        ),
        "bronze.events": pa.Table.from_pylist(
            [{"id": 1, "name": "sold"}, {"id": 5, "name": None}], EVENTS
        ),
    },
]
CHANGES = {
    # Order 1 is gone, 2 late, 3 changed, 5 too dear for `fragile`, 6 below zero for `guarded`.
    "seeds/orders.csv": "id,customer_id,amount,status,ordered_at,updated_at\n"
    "2,11,7.25,paid,2025-01-20 11:30:00,2025-01-21 09:00:00\n"
    "3,10,1.00,open,2025-02-02 08:15:00,2025-03-02 08:15:00\n"
    "4,12,99.99,paid,2025-02-28 23:59:59,2025-03-03 00:00:00\n"
    "5,11,250.00,open,2025-03-04 00:00:00,2025-03-04 00:00:00\n"
    "6,12,-1.00,paid,2025-03-05 00:00:00,2025-03-05 00:00:00\n",
    "seeds/countries.csv": "code;country\nGB;Great Britain\nFR;France\n",
    "models/gold/empty.sql": "select id, status from {{ ref('stg_orders') }} where id = 2\n",
}
# What phlo does otherwise by design. The rest is equal.
#   Models that failed, or whose tests failed, keep the rows of the run before, and have failed, so
#   that `dbt retry` builds them again.
WITHHELD = {"gold.guarded": "model.whole.guarded"}
#   Tables that hooks make by SQL, and rows of failed tests, are gone with the scratch database.
OF_SCRATCH = {"scratch.notes", "dbt_test__audit.at_least_guarded_amount__0"}
OF_SCRATCH |= {"dbt_test__audit.few_are_open"}
#   dbt-duckdb's name for the source without a schema; phlo reads the table of the asset.
SOURCE_WITHOUT_SCHEMA = "raw.events"
#   dbt-duckdb has no insert_overwrite; these are its words for the same.
OF_PHLO = (
    "models/silver/inc_overwrite.sql",
    "{{ config(materialized='incremental', incremental_strategy='delete+insert', "
    "unique_key='customer_id') }}\n"
    "select id, customer_id, amount, status, ordered_at from {{ ref('stg_orders') }}\n",
)
# Hashes of the moment of a run.
HASHED = {"history.by_check", "history.invalidated", "history.new_records"}


class Door:
    """The project laid out for one way to run it."""

    def __init__(self, root: Path) -> None:
        self.root, self.dbt_dir = root, root / DBT
        shutil.copytree(PROJECT, root)
        self.write("profiles.yml", yaml.safe_dump({"whole": self.profile}))
        self.prepare()

    @property
    def profile(self) -> dict:
        return {"target": "embedded", "outputs": {"embedded": {"type": "phlo", "threads": 1}}}

    def write(self, name: str, text: str) -> None:
        (self.dbt_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (self.dbt_dir / name).write_text(text)

    def prepare(self) -> None:
        assert self.run("dbt", "deps")[0] == 0

    def run(self, *words: str) -> tuple[int, str]:
        """Run a command as its own process; gives its exit code and output."""
        (result,) = in_processes(run_command_line, [(str(self.root), words)], preload=PRELOAD)
        return result

    def build(self, *options: str) -> int:
        raise NotImplementedError

    @property
    def target(self) -> Path:
        return self.root / ".phlo/dbt/target"

    @property
    def results(self) -> dict[str, tuple]:
        """How the nodes of the last command ended, by unique id."""
        results = json.loads((self.target / "run_results.json").read_text())["results"]
        return {r["unique_id"]: (r["status"], r["failures"]) for r in results}

    @property
    def notes(self) -> str:
        """What the hook at the end of the last command wrote."""
        return (self.root / "notes.csv").read_text()

    def load_sources(self, tables: dict[str, pa.Table]) -> None:
        in_processes(load_sources, [(str(self.root), tables)], preload=PRELOAD)

    def change(self, files: dict[str, str]) -> None:
        for name, text in files.items():
            self.write(name, text)

    def tables(self) -> dict[str, tuple]:
        """Columns and rows of all tables."""
        database = f"sqlite:///{self.root / '.phlo/catalog.db'}"
        with contextlib.closing(SqlCatalog("lake", uri=database)) as catalog:
            names = [n for space in catalog.list_namespaces() for n in catalog.list_tables(space)]
            return {
                ".".join(name): contents(".".join(name), catalog.load_table(name).scan().to_arrow())
                for name in names
            }


class PhloMaterialize(Door):
    """``phlo materialize`` of all that dbt makes."""

    def build(self, *options: str) -> int:
        return self.run("phlo", "materialize", "tag:dbt", *options)[0]


class PhloDbt(Door):
    """``phlo dbt build``."""

    def prepare(self) -> None:
        assert self.run("phlo", "dbt", "deps")[0] == 0

    def build(self, *options: str) -> int:
        return self.run("phlo", "dbt", "build", *options)[0]


class DbtAtPrompt(Door):
    """``dbt build``, which phlo did not start."""

    @property
    def target(self) -> Path:
        return self.dbt_dir / "target"

    def build(self, *options: str) -> int:
        return self.run("dbt", "build", *options)[0]


class DbtDuckdb(DbtAtPrompt):
    """The oracle: dbt-duckdb's own tables, with phlo's rule for the names of schemas."""

    @property
    def database(self) -> Path:
        return self.root / "lake.duckdb"

    @property
    def profile(self) -> dict:
        output = {
            "type": "duckdb",
            "path": str(self.database),
            "schema": "transform",
            "settings": {"TimeZone": "UTC"},
        }
        return {"target": "embedded", "outputs": {"embedded": output}}

    def prepare(self) -> None:
        macros = Path(phlo_dbt.__file__).parent / "macros"
        shutil.copy(macros / "phlo_names.sql", self.dbt_dir / "macros")
        self.write(*OF_PHLO)
        super().prepare()

    def load_sources(self, tables: dict[str, pa.Table]) -> None:
        with duckdb.connect(str(self.database)) as connection:
            for name, rows in tables.items():
                target = SOURCE_WITHOUT_SCHEMA if name == "bronze.events" else name
                connection.execute(f"CREATE SCHEMA IF NOT EXISTS {target.split('.')[0]}")
                connection.register("rows", rows)
                connection.execute(f"CREATE OR REPLACE TABLE {target} AS FROM rows")

    def tables(self) -> dict[str, tuple]:
        with duckdb.connect(str(self.database), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            names = connection.execute(
                "SELECT table_schema, table_name FROM information_schema.tables"
            ).fetchall()
            left_over = "__dbt_tmp"  # dbt-duckdb forgets what a Python model was made of
            relations = {f"{s}.{n}": f'"{s}"."{n}"' for s, n in names if left_over not in n}
            return {
                name.replace(SOURCE_WITHOUT_SCHEMA, "bronze.events"): contents(
                    name, connection.sql(f"FROM {relation}").to_arrow_table()
                )
                for name, relation in relations.items()
            }


DOORS = [PhloMaterialize, PhloDbt, DbtAtPrompt]


def contents(name: str, table: pa.Table) -> tuple[list[str], list[str]]:
    """Columns in their order, and rows in an order of their own."""
    hidden = {"dbt_scd_id"} if name in HASHED else set()
    names = [column for column in table.column_names if column not in hidden]
    rows = [[_comparable(row[column]) for column in names] for row in table.to_pylist()]
    return names, sorted(map(repr, rows))


def _comparable(value: object) -> object:
    """A value as text; moments of the run, which come after those of the data, as such."""
    if isinstance(value, datetime) and 2026 <= value.year < 9999:
        return "a moment of the run"
    return str(value)


def load_sources(root: str, tables: dict[str, pa.Table]) -> None:
    os.environ["PHLO_PROJECT_DIR"] = root
    from phlo.lake import open_lake
    from phlo.names import TableName
    from phlo.values import Replace

    store = open_lake().store
    store.publish(
        [
            store.stage(
                TableName(*name.split(".")), ds.dataset(rows), Replace(), schema=rows.schema
            )
            for name, rows in tables.items()
        ]
    )


def run_command_line(root: str, words: tuple[str, ...]) -> tuple[int, str]:
    """Run a command in this process, as its script does; gives the exit code and the output."""
    os.chdir(Path(root) / DBT)
    os.environ |= {
        "PHLO_PROJECT_DIR": root,
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "WHOLE_DBT_NOTES": str(Path(root) / "notes.csv"),
        "WHOLE_DBT_COLOUR": "green",
        "NO_COLOR": "1",
        "DBT_USE_COLORS": "false",
    }
    with _output_in(Path(root) / "output.txt") as output:
        try:
            _main(words[0])(list(words[1:]))
            code = 0
        except SystemExit as ended:
            code = int(ended.code or 0)
    return code, output.read_text()


def _main(name: str):
    if name == "phlo":
        from phlo_cli.main import main

        return main
    from dbt.cli.main import cli

    return cli


@contextlib.contextmanager
def _output_in(file: Path) -> Iterator[Path]:
    with file.open("w") as stream:
        for number in (1, 2):
            os.dup2(stream.fileno(), number)
        yield file
    sys.stdout.flush()
    sys.stderr.flush()


class FirstRuns:
    """The project after its first run, one for each door."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.rounds = folder, {}

    def after(self, kind: type[Door]) -> tuple[Door, dict]:
        """Return the project as the first run left it, and how that run ended."""
        root = self.folder / kind.__name__ / "project"
        copy = root.with_name("copy")
        if kind not in self.rounds:
            door = kind(root)
            self.rounds[kind] = (door, run_round(door, 0))
            shutil.copytree(root, copy, symlinks=True)
        else:
            shutil.rmtree(root)
            shutil.copytree(copy, root, symlinks=True)
        return self.rounds[kind]


def run_round(door: Door, number: int) -> dict:
    """Run the project over the sources as they are first, or as they have become."""
    door.load_sources(SOURCES[number])
    if number:
        door.change(CHANGES)
    code = door.build()
    return {"code": code, "results": door.results, "notes": door.notes, "tables": door.tables()}


def assert_equal(found: dict, expected: dict, before: dict | None = None) -> None:
    """Hold a run of a door to dbt-duckdb's, but for what differs by design."""
    withheld = {name: before["tables"][name] for name in WITHHELD} if before else {}
    tables = {n: t for n, t in expected["tables"].items() if n not in OF_SCRATCH} | withheld
    results = dict.fromkeys(WITHHELD.values(), ("error", None)) if before else {}
    assert found["results"] == expected["results"] | results
    assert set(found["tables"]) == set(tables)
    assert {n: found["tables"][n] for n in tables if found["tables"][n] != tables[n]} == {}
    assert (found["code"], found["notes"]) == (expected["code"], expected["notes"])


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> FirstRuns:
    return FirstRuns(tmp_path_factory.mktemp("whole"))


@pytest.fixture(scope="module")
def second(runs) -> dict:
    """How dbt-duckdb's second run ended."""
    oracle, _ = runs.after(DbtDuckdb)
    return run_round(oracle, 1)


@pytest.mark.parametrize("kind", [PhloDbt, PhloMaterialize, DbtAtPrompt])
def test_a_first_run_gives_what_dbt_duckdb_gives(runs, kind):
    _, expected = runs.after(DbtDuckdb)
    _, found = runs.after(kind)
    assert expected["code"] == 0
    assert len(expected["results"]) > 70
    assert_equal(found, expected)


@pytest.mark.parametrize("keeps_scratch", [True, False])
@pytest.mark.parametrize("kind", DOORS)
def test_a_run_over_changed_sources_gives_what_dbt_duckdb_gives(runs, second, kind, keeps_scratch):
    """Also where all that dbt left is deleted: DuckDB's file, artifacts, and what it parsed."""
    door, _ = runs.after(kind)
    _, first = runs.after(DbtDuckdb)
    if not keeps_scratch:
        shutil.rmtree(door.root / ".phlo/dbt")
        shutil.rmtree(door.target, ignore_errors=True)
    found = run_round(door, 1)
    assert second["code"] == 1
    assert_equal(found, second, before=first)


SELECTIONS = [
    ["--selector", "nightly_without_seeds"],
    ["-s", "+exposure:dashboard"],
    ["-s", "group:finance", "access:private", "--exclude", "resource_type:test"],
    ["-s", "tag:shop,config.materialized:incremental", "package:units", "version:latest"],
    ["--resource-type", "snapshot", "--resource-type", "unit_test"],
    ["-s", "1+source:raw.events+2", "test_type:singular", "--output", "path"],
]
SAME_OUTPUT = [
    *(["ls", *selection] for selection in SELECTIONS),
    ["show", "-s", "mrt_orders", "--limit", "20", "--output", "json"],
    ["show", "--inline", "select count(*) as n from {{ ref('inc_merge') }}", "--output", "json"],
    ["run-operation", "print_orders"],
]


@pytest.fixture(scope="module")
def at_prompt(runs) -> tuple[Door, Door]:
    """The project of dbt-duckdb and that of plain dbt on phlo, after their first run."""
    return runs.after(DbtDuckdb)[0], runs.after(DbtAtPrompt)[0]


def run_both(doors: tuple[Door, Door], *words: str) -> list[str]:
    """Run a command of dbt in both projects; gives the outputs."""
    (_, expected), (_, found) = ended = [door.run("dbt", "--quiet", *words) for door in doors]
    assert [code for code, _ in ended] == [0, 0], (expected, found)
    return [expected, found]


@pytest.mark.parametrize("words", SAME_OUTPUT, ids=" ".join)
def test_a_command_at_the_prompt_says_what_dbt_duckdb_says(at_prompt, words):
    expected, found = run_both(at_prompt, *words)
    assert expected
    assert found == expected


def test_tests_at_the_prompt_end_as_those_of_dbt_duckdb(at_prompt):
    run_both(at_prompt, "test")
    expected, found = (door.results for door in at_prompt)
    assert len(expected) > 20
    assert found == expected


def test_freshness_at_the_prompt_is_that_of_dbt_duckdb(at_prompt):
    run_both(at_prompt, "source", "freshness")
    expected, found = (
        {
            source["unique_id"]: (source["status"], source["max_loaded_at"])
            for source in json.loads((door.target / "sources.json").read_text())["results"]
        }
        for door in at_prompt
    )
    assert [status for status, _ in expected.values()] == ["warn"]
    assert found == expected


def test_sql_compiled_at_the_prompt_is_that_of_dbt_duckdb(at_prompt):
    run_both(at_prompt, "compile")
    expected, found = (
        {
            str(file.relative_to(door.target)): file.read_text().replace(str(door.root), "")
            for file in (door.target / "compiled/whole").rglob("*.sql")
            if file.is_file()
        }
        for door in at_prompt
    )
    same = {name: text.replace('"raw"', '"bronze"') for name, text in expected.items()}
    same.pop(f"compiled/whole/{OF_PHLO[0]}")
    assert {n: found[n] for n in same if found[n] != same[n]} == {}


def test_the_documents_are_those_of_dbt_duckdb(at_prompt):
    run_both(at_prompt, "docs", "generate")
    expected, found = (catalog_and_documents(door) for door in at_prompt)
    assert found == expected
    assert "one row per **order**" in found["documents"]["model.whole.stg_orders"]
    assert (at_prompt[1].target / "index.html").exists()


def catalog_and_documents(door: Door) -> dict:
    catalog = json.loads((door.target / "catalog.json").read_text())
    manifest = json.loads((door.target / "manifest.json").read_text())
    nodes = {**catalog["nodes"], **catalog["sources"]}
    return {
        "errors": catalog["errors"],
        "columns": {
            uid: [(c["name"], c["type"]) for c in node["columns"].values()]
            for uid, node in nodes.items()
            if f"{node['metadata']['schema']}.{node['metadata']['name']}" not in OF_SCRATCH
        },
        "documents": {uid: node["description"] for uid, node in manifest["nodes"].items()},
        "exposures": {u: e["depends_on"]["nodes"] for u, e in manifest["exposures"].items()},
        "groups": {uid: group["owner"] for uid, group in manifest["groups"].items()},
    }


@pytest.mark.parametrize("kind", [PhloDbt, DbtAtPrompt])
def test_what_was_modified_is_built_beside_the_state_of_an_earlier_run(runs, kind):
    ended = []
    for door in (runs.after(DbtDuckdb)[0], runs.after(kind)[0]):
        earlier = door.root / "earlier"
        earlier.mkdir()
        shutil.copy(door.target / "manifest.json", earlier)
        ledger = (door.dbt_dir / "models/gold/ledger.sql").read_text()
        door.write("models/gold/ledger.sql", ledger.replace("sum(amount)", "2 * sum(amount)"))
        code = door.build("-s", "state:modified+", "--defer", "--state", str(earlier))
        ended.append(
            {"code": code, "results": door.results, "notes": door.notes, "tables": door.tables()}
        )
    expected, found = ended
    assert set(expected["results"]) >= {"model.whole.ledger", "model.whole.finance_report"}
    assert "model.whole.stg_orders" not in expected["results"]
    assert_equal(found, expected)


def test_a_model_outside_of_a_group_may_not_read_its_private_model(runs):
    text = "select * from {{ ref('ledger') }}"
    for kind in (DbtDuckdb, *DOORS):
        door, _ = runs.after(kind)
        door.write("models/gold/intruder.sql", text)
        assert door.build() in (1, 2)
        assert "private to the 'finance' group" in (door.root / "output.txt").read_text()
