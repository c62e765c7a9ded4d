"""Published marts follow the tables that a branch, a plan or an undo moved."""

import json

import pytest
from phlo.lake import reset_lake, table
from phlo_cli.main import build_cli

pytestmark = pytest.mark.integration

WORKFLOW = """
    import pandera.pandas as pa
    from phlo.publishing import publishing_asset
    from phlo_dlt import phlo_ingestion
    from workflows import values


    class NumberSchema(pa.DataFrameModel):
        n: int


    @phlo_ingestion(table_name="numbers", unique_key="n", validation_schema=NumberSchema, group="x")
    def numbers(partition_date: str):
        return [{"n": n} for n in values.NUMBERS]


    published = publishing_asset("bronze.numbers", name="publish_numbers")
"""


@pytest.fixture
def phlo(capsys):
    """Run a phlo command; returns its exit code and what it printed."""

    def call(*arguments):
        with pytest.raises(SystemExit) as caught:
            build_cli().main(list(arguments))
        printed = capsys.readouterr()
        return caught.value.code or 0, printed.out, printed.err

    return call


@pytest.fixture
def deliver(postgres_database, phlo_project):
    """Let the source deliver numbers."""
    phlo_project.write("workflows/loads.py", WORKFLOW)

    def give(*numbers):
        phlo_project.write("workflows/values.py", f"NUMBERS = {numbers!r}\n")

    return give


@pytest.fixture
def mart(database):
    """Read the published table."""
    query = "SELECT n FROM marts.numbers ORDER BY n"
    return lambda: [n for (n,) in database.execute(query).fetchall()]


def test_marts_follow_a_branch_a_plan_and_an_undo(deliver, phlo, mart):
    deliver(1)
    assert phlo("materialize", "numbers", "publish_numbers", "--partition", "2025-01-01")[0] == 0
    assert mart() == [1]

    deliver(2)
    assert phlo("branch", "create", "dev")[0] == 0
    assert phlo("materialize", "numbers", "--branch", "dev", "--partition", "2025-01-02")[0] == 0
    assert mart() == [1]
    assert phlo("branch", "publish", "dev", "--delete")[0] == 0
    assert mart() == [1, 2]

    deliver(3)
    code, out, _ = phlo("plan", "numbers", "--partition", "2025-01-03", "--json")
    assert code == 0
    assert mart() == [1, 2]
    assert phlo("apply", json.loads(out)["plan_id"])[0] == 0
    assert mart() == [1, 2, 3]

    deliver(4)
    code, out, _ = phlo("materialize", "numbers", "--partition", "2025-01-04", "--json")
    assert phlo("publish", "numbers")[0] == 0
    assert mart() == [1, 2, 3, 4]
    assert phlo("undo", json.loads(out)["run_id"])[0] == 0
    assert mart() == [1, 2, 3]


def test_an_asset_that_a_plan_publishes_first_publishes_when_it_is_applied(
    deliver, phlo, mart, database
):
    deliver(1)
    code, out, _ = phlo("plan", "numbers+", "--partition", "2025-01-01", "--json")
    assert code == 0
    assert json.loads(out)["publishers"] == ["publish_numbers"]
    assert database.execute("SELECT to_regclass('marts.numbers')").fetchone() == (None,)
    assert phlo("apply", json.loads(out)["plan_id"])[0] == 0
    assert mart() == [1]


def test_a_mart_that_cannot_follow_is_told_and_the_tables_have_moved(deliver, phlo, mart, database):
    deliver(1)
    assert phlo("materialize", "numbers+", "--partition", "2025-01-01")[0] == 0
    # A function of the table's row type is what a publish refuses.
    database.execute(
        "CREATE FUNCTION marts.f(marts.numbers) RETURNS int LANGUAGE sql AS 'SELECT 1'"
    )
    deliver(2)
    code, out, _ = phlo("plan", "numbers", "--partition", "2025-01-02", "--json")
    code, _, err = phlo("apply", json.loads(out)["plan_id"])
    assert (code, "Traceback" in err) == (1, False)
    assert "not all of their published marts followed" in err
    reset_lake()
    assert sorted(table("bronze.numbers").to_arrow()["n"].to_pylist()) == [1, 2]
    assert mart() == [1]
    database.execute("DROP FUNCTION marts.f")
    assert phlo("publish", "numbers")[0] == 0
    assert mart() == [1, 2]
