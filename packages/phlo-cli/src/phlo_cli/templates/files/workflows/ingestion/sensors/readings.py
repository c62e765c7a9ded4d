"""The readings in the files of data/."""

from pathlib import Path

from dlt.sources.filesystem import filesystem
from phlo_dlt import phlo_ingestion, read_files
from workflows.schemas.sensors import Readings

FOLDER = Path(__file__).parents[3] / "data"


@phlo_ingestion(
    table_name="readings",
    unique_key=["sensor", "measured_at"],
    validation_schema=Readings,
    group="sensors",
    partitions=None,
)
def readings():
    """All rows of all files."""
    return filesystem(bucket_url=str(FOLDER), file_glob="*.csv") | read_files(delimiter=";")
