"""What every test of the table store starts from."""

import pytest
from phlo_iceberg.write import stage


@pytest.fixture(autouse=True)
def settings_of_merges(monkeypatch):
    """A test may set from when on a merge rewrites files; the next one finds what is usual."""
    for name in ("REWRITE_ROWS", "MIN_TOUCHED_SHARE"):
        monkeypatch.setattr(stage, name, getattr(stage, name))
