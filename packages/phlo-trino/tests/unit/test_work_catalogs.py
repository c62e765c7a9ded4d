"""The statement that makes a work catalog, from a file of Trino's own."""

import pytest
from phlo.errors import ConfigurationError
from phlo_trino.settings import TrinoSettings
from phlo_trino.work_catalogs import create_catalog, read_properties

LAKE = """
# Trino's catalog of main
connector.name=iceberg
iceberg.jdbc-catalog.catalog-name = lake
  iceberg.jdbc-catalog.connection-password: it's=${ENV:SECRET}
! no property
s3.endpoint=http://s3.example.com:9000/?a=b

"""


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "lake.properties"
    file.write_text(LAKE)
    return file


def test_a_work_catalog_is_mains_with_the_name_of_the_branch(file):
    assert create_catalog("lake_work_1", file, "work-1") == (
        'CREATE CATALOG "lake_work_1" USING iceberg WITH '
        "(\"iceberg.jdbc-catalog.catalog-name\" = 'lake@work-1', "
        "\"iceberg.jdbc-catalog.connection-password\" = 'it''s=${ENV:SECRET}', "
        "\"s3.endpoint\" = 'http://s3.example.com:9000/?a=b')"
    )


def test_no_other_sql_stands_in_the_name_of_a_connector(file):
    file.write_text(LAKE.replace("=iceberg", "=iceberg; DROP CATALOG lake", 1))
    with pytest.raises(ConfigurationError, match=r"lake\.properties"):
        create_catalog("lake_work_1", file, "work-1")


@pytest.mark.parametrize("line", ["connector.name=iceberg", "iceberg.jdbc-catalog.catalog-name"])
def test_a_file_of_another_kind_of_catalog_is_refused(file, line):
    file.write_text("".join(one for one in LAKE.splitlines(True) if not one.startswith(line)))
    with pytest.raises(ConfigurationError, match=r"lake\.properties"):
        create_catalog("lake_work_1", file, "work-1")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigurationError, match="PHLO_TRINO_WORK_CATALOG_FILE"):
        read_properties(tmp_path / "no.properties")


def test_a_work_branch_is_read_in_its_catalog():
    settings = TrinoSettings(work_catalogs="work-1=lake_work_1", branch_catalogs="dev=lake_dev")
    assert settings.on_branch("work-1").catalog == "lake_work_1"
    assert settings.on_branch("dev").catalog == "lake_dev"
    assert settings.on_branch("other") is None
