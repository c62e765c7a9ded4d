"""The classes of dbt's conformance suite that phlo's materializations are held to."""

import importlib
from pathlib import Path

import dbt.tests.adapter
import pytest
from dbt.tests.adapter.incremental import (
    test_incremental_microbatch,
    test_incremental_unique_id,
)
from dbt.tests.adapter.python_model import test_python_model
from dbt.tests.adapter.sample_mode import fixtures as sample_mode_fixtures

pytestmark = [
    pytest.mark.dbt_adapter,
    pytest.mark.filterwarnings("default"),
]

ROOMS = (
    "aliases",
    "basic",
    "caching",
    "column_types",
    "concurrency",
    "constraints",
    "dbt_debug",
    "dbt_show",
    "empty",
    "ephemeral",
    "grants",
    "hooks",
    "incremental",
    "persist_docs",
    "python_model",
    "query_comment",
    "relations",
    "sample_mode",
    "simple_copy",
    "simple_seed",
    "simple_snapshot",
    "store_test_failures_tests",
    "unit_testing",
    "utils",
)
"""Folders of the suite."""

OTHER_CHOICES = ("BaseCurrentTimestampNaive", "BaseEscapeSingleQuotesBackslash")
"""Classes of which an adapter takes one of two."""

SAMPLE = (
    "Test_test_base_TestSimpleMaterializations",
    "Test_test_incremental_TestIncremental",
    "Test_test_snapshot_check_cols_TestSnapshotCheckCols",
    "Test_test_ephemeral_TestEphemeral",
    "Test_test_aliases_TestAliases",
    "Test_test_concurrency_TestConcurenncy",
)
"""Classes that `make test-slow` runs."""

_DUCKDB_TYPES = [
    ["1", "int", "INTEGER"],
    ["'1'", "text", "VARCHAR"],
    ["true", "bool", "BOOL"],
    ["'2013-11-03 00:00:00-07'::timestamptz", "timestamptz", "TIMESTAMP WITH TIME ZONE"],
    ["'2013-11-03 00:00:00'::timestamp", "timestamp", "TIMESTAMP"],
    ["['a', 'b', 'c']", "text[]", "VARCHAR[]"],
    ["[1, 2, 3]", "int[]", "INTEGER[]"],
    ["'1'::decimal(18, 3)", "decimal(18, 3)", "DECIMAL"],
]


def _in_duckdb(text):
    """A timestamp without time zone has no offset, a microbatch no key."""
    return text.replace("-0'", "'").replace("unique_key='id', ", "")


for _module, _name in (
    (test_incremental_microbatch, "_input_model_sql"),
    (test_incremental_microbatch, "_microbatch_model_sql"),
    (test_python_model, "_input_model_sql"),
    (sample_mode_fixtures, "input_model_sql"),
):
    setattr(_module, _name, _in_duckdb(getattr(_module, _name)))


def _fixture(value):
    return pytest.fixture(scope="class")(lambda self: value)


def _insert_two_rows(self, project):
    rows = ((number, f"TIMESTAMP '2020-01-0{number} 00:00:00'") for number in (4, 5))
    values = ", ".join(f"({number}, {moment})" for number, moment in rows)
    return f'insert into "{project.test_schema}".input_model (id, event_time) values {values}'


def _adapted(cls):
    """Replace what a class says in PostgreSQL's words by DuckDB's, as adapters are asked to."""
    adapted = {}
    if hasattr(cls, "insert_two_rows_sql"):
        adapted["insert_two_rows_sql"] = pytest.fixture(scope="class")(_insert_two_rows)
    if hasattr(cls, "data_types") and "Constraints" in cls.__name__:
        adapted["data_types"] = _fixture(_DUCKDB_TYPES)
    if hasattr(cls, "expected_error_messages"):
        adapted["expected_error_messages"] = _fixture(["NOT NULL constraint failed"])
    return adapted


def classes():
    """Yield every class of the suite that has tests and on which no other one is built."""
    found = {}
    [folder] = dbt.tests.adapter.__path__
    for file in sorted(Path(folder).rglob("test_*.py")):
        parts = file.relative_to(folder).with_suffix("").parts
        if parts[0] in ROOMS:
            module = importlib.import_module(".".join(["dbt.tests.adapter", *parts]))
            found |= {
                v: parts[-1]
                for v in vars(module).values()
                if isinstance(v, type) and v.__module__ == module.__name__
            }
    for cls, module in found.items():
        has_tests = any(n.startswith("test_") and callable(getattr(cls, n)) for n in dir(cls))
        is_built_on = any(other is not cls and issubclass(other, cls) for other in found)
        if has_tests and not is_built_on and cls.__name__ not in OTHER_CHOICES:
            yield f"Test_{module}_{cls.__name__}", cls


for _name, _class in classes():
    _members = {"__module__": __name__, "__test__": True, "suite_class": _class}
    _made = type(_name, (_class,), _members | _adapted(_class))
    globals()[_name] = pytest.mark.slow(_made) if _name in SAMPLE else _made


class TestIncrementalKeysThatRepeat(test_incremental_unique_id.TestIncrementalUniqueKey):
    """Keys of dbt's classes repeat, which only this strategy allows on phlo."""

    @pytest.fixture(scope="class")
    def project_config_update(self):
        return {"models": {"+incremental_strategy": "delete+insert"}}
