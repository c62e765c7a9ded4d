"""Extracted files: their rows, and how many stand in a group."""

from itertools import islice

import pandera.pandas as pandera
import pyarrow.parquet as pq
from phlo.contract import Contract
from phlo_dlt.extract import extract
from phlo_dlt.rows.conformer import DICT_ROWS


class Numbers(pandera.DataFrameModel):
    number: int
    name: str = pandera.Field(nullable=True)


def test_rows_yielded_in_any_sizes_stand_in_large_groups(tmp_path):
    rows = ({"number": n, "name": None if n % 7 == 0 else str(n)} for n in range(6 * DICT_ROWS))

    def pages():
        yield next(rows)
        yield list(islice(rows, 3 * DICT_ROWS))
        yield from rows

    extraction = extract(pages(), name="n", contract=Contract.of(Numbers), folder=tmp_path)

    (file,) = (pq.ParquetFile(path) for path in extraction.files)
    table = file.read(["c0", "c1"])
    assert table["c0"].to_pylist() == list(range(6 * DICT_ROWS))
    assert table["c1"].to_pylist()[:8] == [None, "1", "2", "3", "4", "5", "6", None]
    assert table["c1"].null_count == len(range(0, 6 * DICT_ROWS, 7))
    assert file.metadata.num_row_groups == 2
