"""Bronze: the files of data/, as they were delivered."""

from pathlib import Path

from dlt.sources.filesystem import filesystem
from phlo_dlt import phlo_ingestion, read_files
from workflows.schemas.shop import Customers, Orders

FOLDER = Path(__file__).parents[3] / "data"


def read_table(name: str):
    """Read all files of one table."""
    return filesystem(bucket_url=str(FOLDER), file_glob=f"{name}*.csv") | read_files()


@phlo_ingestion(
    table_name="customers",
    unique_key="customer_id",
    validation_schema=Customers,
    group="shop",
    partitions=None,
)
def customers():
    """All customers."""
    return read_table("customers")


@phlo_ingestion(
    table_name="orders",
    unique_key="order_id",
    validation_schema=Orders,
    group="shop",
    partitions=None,
)
def orders():
    """All orders."""
    return read_table("orders")
