"""Rows of a load are read as they are, whatever dataset they stand in."""

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest
from phlo_iceberg.write.batches import BATCH_ROWS, stream

ROWS = pa.table({"n": range(BATCH_ROWS + 5), "text": ["ä"] * (BATCH_ROWS + 5)})


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("count", [0, len(ROWS)])
def test_a_dataset_is_read_in_order_and_in_batches(tmp_path, is_file, count):
    rows = ROWS.slice(0, count)
    dataset = ds.dataset(rows)
    if is_file:
        pq.write_table(rows, tmp_path / "rows.parquet", row_group_size=BATCH_ROWS)
        dataset = ds.dataset(tmp_path / "rows.parquet")
    batches = list(stream(dataset))
    assert all(batch.num_rows <= BATCH_ROWS for batch in batches)
    assert pa.Table.from_batches(batches, rows.schema) == rows


def test_datasets_in_files_and_in_memory_are_read_together(tmp_path):
    pq.write_table(ROWS, tmp_path / "rows.parquet")
    both = ds.dataset([ds.dataset(tmp_path / "rows.parquet"), ds.dataset(ROWS.slice(0, 2))])
    assert stream(both).read_all() == pa.concat_tables([ROWS, ROWS.slice(0, 2)])
