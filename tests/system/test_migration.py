"""A project that ran on one machine, moved to PostgreSQL and S3 by its settings and one command."""

import json
import secrets

import pytest
from phlo import lake
from phlo.names import TableName
from phlo_cli.main import main
from sqlalchemy import event
from sqlalchemy.engine import Engine

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("servers")]

WORKFLOW = """
import json
from pathlib import Path

import dlt
import pandera.pandas as pa
from phlo_dlt import phlo_ingestion


class EventSchema(pa.DataFrameModel):
    id: str
    at: int
    value: int = pa.Field(ge=0)


@dlt.resource(name="events")
def rows(at=dlt.sources.incremental("at")):
    Path(__file__).parents[2].joinpath("asked.json").write_text(json.dumps(at.last_value))
    yield json.loads((Path(__file__).parents[2] / "upstream.json").read_text())


@phlo_ingestion(
    table_name="events",
    unique_key="id",
    validation_schema=EventSchema,
    group="api",
    partitions=None,
    merge_strategy="append",
    merge_config={"on_rerun": "append"},
    invalid_rows="quarantine",
    max_retries=0,
)
def api_events():
    return rows()
"""
FIRST = [{"id": "a", "at": 1, "value": 1}, {"id": "b", "at": 2, "value": -5}]
LATER = [{"id": "c", "at": 3, "value": 3}]


@pytest.fixture
def phlo(capfd):
    def run(*arguments):
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(list(arguments))
        return int(ended.value.code or 0), *capfd.readouterr()

    return run


@pytest.fixture
def connections():
    """Close what runs in this process left open to PostgreSQL."""
    opened = []

    def remember(connection, record) -> None:
        opened.append(connection)

    event.listen(Engine, "connect", remember)
    yield
    event.remove(Engine, "connect", remember)
    for connection in opened:
        connection.close()


def cluster(address, object_store):
    password = address.password.get_secret_value()
    place = f"{address.host}:{address.port}/{address.database}"
    s3 = object_store.s3_properties
    return {
        "PHLO_ICEBERG_CATALOG_URI": f"postgresql+psycopg://{address.user}:{password}@{place}",
        "PHLO_ICEBERG_WAREHOUSE": f"s3://phlo/lake-{secrets.token_hex(4)}",
        "PHLO_ICEBERG_S3_ENDPOINT": s3["s3.endpoint"],
        "PHLO_ICEBERG_S3_REGION": s3["s3.region"],
        "PHLO_ICEBERG_S3_ACCESS_KEY_ID": s3["s3.access-key-id"],
        "PHLO_ICEBERG_S3_SECRET_ACCESS_KEY": s3["s3.secret-access-key"],
    }


def events() -> list[tuple]:
    rows = lake.query("SELECT id, value FROM bronze.events ORDER BY id").to_arrow().to_pylist()
    return [(row["id"], row["value"]) for row in rows]


@pytest.mark.usefixtures("connections")
def test_a_project_goes_on_from_its_cursor(phlo, phlo_project, postgres_database, object_store):
    phlo_project.write("workflows/ingestion/api.py", WORKFLOW)
    (phlo_project.root / "upstream.json").write_text(json.dumps(FIRST))
    lake.materialize("api_events", progress=False)
    code, _, error = phlo("catalog", "migrate")
    assert code == 1
    assert "still name the embedded catalog" in error
    phlo_project.set(**cluster(postgres_database, object_store))
    code, planned, _ = phlo("catalog", "migrate", "--dry-run", "--json")
    told = json.loads(planned)
    assert told["dry_run"] is True
    names = [row["table"] for row in told["tables"]]
    assert [n for n in names if n.startswith("bronze")] == ["bronze.events"]
    assert [n for n in names if "quarantine" in n]
    assert lake.open_lake().store.list_tables() == []
    code, done, error = phlo("catalog", "migrate")
    assert (code, error) == (0, "")
    assert "bronze.events: copying 1 file" in done
    assert "copied" in done
    assert events() == [("a", 1)]
    (phlo_project.root / "upstream.json").write_text(json.dumps([*FIRST, *LATER]))
    run = lake.materialize("api_events", progress=False)
    assert json.loads((phlo_project.root / "asked.json").read_text()) == 2
    assert events() == [("a", 1), ("c", 3)]
    code, _, _ = phlo("undo", run.run_id)
    assert code == 0
    assert events() == [("a", 1)]
    (quarantine,) = [TableName.parse(n) for n in names if "quarantine" in n]
    assert lake.open_lake().store.load(quarantine).row_count == 1
    code, answer, _ = phlo("catalog", "migrate", "--json")
    assert [row["action"] for row in json.loads(answer)["tables"]] == ["present"] * len(names)
