"""An ingestion to play with, in a project with a real table store."""

import importlib

import pytest
from dagster import DagsterInstance
from phlo.names import FROM_QUARANTINE_TAG, FROM_STAGED_TAG
from pyiceberg.catalog import load_catalog

SCHEMA = """
    from datetime import datetime
    import pandera.pandas as pa
    from pandera.typing import Series

    class EventSchema(pa.DataFrameModel):
        id: Series[str] = pa.Field(unique=True)
        timestamp: Series[datetime]
        value: Series[float] = pa.Field(ge=0, le=100)
        note: Series[str] | None = pa.Field(nullable=True)
"""

INGESTION = """
    from phlo_dlt import phlo_ingestion
    from workflows.schemas.api import EventSchema

    source = None

    @phlo_ingestion(
        table_name="events",
        unique_key="id",
        validation_schema=EventSchema,
        group="api",
        ARGUMENTS
    )
    def api_events(partition_date: str):
        return source(partition_date)
"""


def _refuse(partition_date):
    raise AssertionError("The source was asked.")


class Events:
    """The table ``bronze.events``, loaded by the asset ``dlt_events``."""

    def __init__(self, project):
        self.project = project

    def declare(self, schema: str = SCHEMA, ingestion: str = INGESTION, **arguments):
        """Write the workflow; further arguments go to the decorator."""
        given = {"max_retries": 0, **arguments}
        text = ", ".join(f"{name}={value!r}" for name, value in given.items())
        self.project.write("workflows/schemas/api.py", schema)
        code = ingestion.replace("ARGUMENTS", text)
        self.project.write("workflows/ingestion/api/events.py", code)
        self._job = self.project.definitions().resolve_implicit_global_asset_job_def()
        return self

    def load(self, rows, partition: str | None = "2025-01-15", tags=None):
        """Run the asset through Dagster; ``rows`` is what the function returns, or a function."""
        module = importlib.import_module("workflows.ingestion.api.events")
        module.source = rows if callable(rows) and not hasattr(rows, "name") else lambda _: rows
        with DagsterInstance.ephemeral() as instance:
            return self._job.execute_in_process(
                instance=instance, partition_key=partition, raise_on_error=False, tags=tags
            )

    def replay(self, run_id: str, partition: str | None = "2025-01-15"):
        """Load what a failed run extracted; the function must not be called."""
        return self.load(_refuse, partition, tags={FROM_STAGED_TAG: run_id})

    def requeue(self, partition="2025-01-15", quarantine="bronze__events", run_id=None):
        """Load a run's rows out of quarantine, or some run's; the function must not be called."""
        found = self.rows(f"quarantine.{quarantine}", by="key")
        runs = [r["run_id"] for r in found if str(r["_phlo_partition_date"]) == str(partition)]
        tags = {FROM_QUARANTINE_TAG: run_id or min(runs, default="none")}
        return self.load(_refuse, partition, tags=tags)

    def table(self, name: str = "bronze.events"):
        """The table, opened with pyiceberg alone."""
        root = self.project.root / ".phlo"
        warehouse = f"file://{root}/warehouse"
        uri = f"sqlite:///{root}/catalog.db"
        return load_catalog("lake", type="sql", uri=uri, warehouse=warehouse).load_table(name)

    def rows(self, name: str = "bronze.events", by: str = "id"):
        """All rows of the table, sorted."""
        found = self.table(name).scan().to_arrow().to_pylist()
        return sorted(found, key=lambda row: row[by])

    def values(self):
        """Value by id."""
        return {row["id"]: row["value"] for row in self.rows()}

    def quarantined(self):
        """Rows in quarantine."""
        return self.rows("quarantine.bronze__events", by="key")

    @staticmethod
    def row(key, value=1.0, timestamp="2025-01-15T10:00:00Z", **more):
        """A valid row."""
        return {"id": key, "timestamp": timestamp, "value": value, **more}

    @staticmethod
    def facts(result):
        """Metadata of the materialization."""
        (event,) = result.asset_materializations_for_node("dlt_events")
        return {name: v.value for name, v in event.metadata.items()}

    @staticmethod
    def failure(result, table="events"):
        """What Dagster records of a failed step: description and metadata."""
        return result.failure_data_for_node(f"dlt_{table}").user_failure_data


@pytest.fixture
def events(phlo_project):
    return Events(phlo_project)
