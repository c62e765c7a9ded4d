"""A real store, a real server, and a publish between them."""

import pyarrow.dataset as ds
import pytest
from dagster import DagsterInstance, asset, build_asset_context
from phlo.lake import open_lake
from phlo.names import TableName
from phlo.values import Replace
from phlo_publishing.postgres import PostgresResource
from phlo_publishing.publish import publish_marts_to_postgres


@pytest.fixture
def write_mart(postgres_database):
    """Write a mart's rows to the Iceberg store; returns the snapshot id."""

    def write(name, table):
        store = open_lake().store
        staged = store.stage(
            TableName.parse(name), ds.dataset(table), Replace(), schema=table.schema
        )
        return store.publish([staged])[0].snapshot_id

    return write


@pytest.fixture
def publish(postgres_database):
    """Call ``publish_marts_to_postgres`` in an asset, with the project's engine and server."""

    with DagsterInstance.ephemeral() as instance:

        def call(tables, data_source="tests", context=None, **options):
            @asset
            def published(context):
                engine, resource = open_lake().engine, PostgresResource()
                return publish_marts_to_postgres(
                    context, engine, resource, tables, data_source, **options
                )

            return published(context or build_asset_context(instance=instance))

        yield call


@pytest.fixture
def database(postgres_database):
    """A connection of a reader, every statement a transaction of its own."""
    with postgres_database.connect(autocommit=True) as connection:
        yield connection
