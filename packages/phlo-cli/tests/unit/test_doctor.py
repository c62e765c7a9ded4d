import stat

from phlo.installing import install_command


def findings(answer):
    return {row["subject"]: row for row in answer.json}


def test_a_healthy_project_has_nothing_failed(plain_project, phlo):
    answer = phlo("doctor", "--json")
    assert answer.code == 0
    found = findings(answer)
    assert {row["status"] for row in found.values()} <= {"ok", "note"}
    assert found["project"]["message"].endswith(": 7 assets, 1 check")
    assert found["runs"]["message"].startswith("0 runs kept in ")
    assert found["engine"]["message"] == "duckdb answers"


def test_a_broken_file_is_found_and_the_rest_is_examined_too(phlo_project, phlo):
    phlo_project.write("workflows/bad.py", "import nothing_like_that\n")
    answer = phlo("doctor", "--json")
    assert answer.code == 1
    found = findings(answer)
    assert found["project"]["status"] == "failed"
    assert "workflows/bad.py:1 fails to import" in found["project"]["message"]
    assert "Install the package that brings 'nothing_like_that'" in found["project"]["hint"]
    assert found["tables"]["status"] == "ok"


def test_a_switched_off_plugin_is_noted_and_what_it_provided_is_missed(phlo_project, phlo):
    phlo_project.set(PHLO_DISABLED_PLUGINS="iceberg")
    answer = phlo("doctor")
    assert answer.code == 1
    assert "switched off: iceberg" in answer.out
    assert "✗ tables" in answer.out
    assert install_command("phlo-iceberg") in answer.out


ORDERS = """
    from phlo_dlt import phlo_ingestion
    import pandera.pandas as pa
    from phlo.schemas import PhloSchema


    class Orders(PhloSchema):
        id: int
        value: int


    @phlo_ingestion(
        table_name="orders", unique_key="id", validation_schema=Orders, group="shop",
        partitions=None,
    )
    def orders():
        return [{"id": 1, "value": 10}, {"id": 2, "value": 20}]
"""


def test_a_moved_project_is_found_and_fixed(phlo_project, phlo_process, monkeypatch, tmp_path):
    phlo_project.write("workflows/orders.py", ORDERS)
    assert phlo_process("materialize", "orders").code == 0
    moved = tmp_path / "moved"
    phlo_project.root.rename(moved)
    phlo_project.root.mkdir()  # where the command is started; the project is elsewhere
    monkeypatch.setenv("PHLO_PROJECT_DIR", str(moved))
    query = ("query", "SELECT id, value FROM bronze.orders ORDER BY id", "--json")

    refused = phlo_process(*query)
    assert refused.code == 1
    assert "The metadata of bronze.orders is not where the catalog says" in refused.err
    assert "phlo doctor --fix" in refused.err
    found = findings(phlo_process("doctor", "--json"))["tables"]
    assert (found["status"], "phlo doctor --fix" in found["hint"]) == ("failed", True)

    fixed = phlo_process("doctor", "--fix")
    assert fixed.code == 0
    assert "✓ repaired   bronze.orders (moved) from file://" in fixed.out
    assert phlo_process(*query).json == [{"id": 1, "value": 10}, {"id": 2, "value": 20}]
    again = phlo_process("materialize", "orders")
    assert (again.code, "2 unchanged" in again.out) == (0, True)


def test_a_lost_catalog_is_found_and_rebuilt(phlo_project, phlo_process):
    phlo_project.write("workflows/orders.py", ORDERS)
    assert phlo_process("materialize", "orders").code == 0
    (phlo_project.root / ".phlo" / "catalog.db").unlink()

    found = findings(phlo_process("doctor", "--json"))["tables"]
    assert found["message"] == (
        "the catalog is empty, but the warehouse holds 1 table: bronze.orders"
    )
    assert "(lost) from file://" in phlo_process("doctor", "--fix").out
    query = phlo_process("query", "SELECT id, value FROM bronze.orders ORDER BY id", "--json")
    assert query.json == [{"id": 1, "value": 10}, {"id": 2, "value": 20}]


def test_files_that_other_users_may_open_are_found_and_closed(phlo_project, phlo):
    secret, state_dir = phlo_project.root / ".env", phlo_project.root / ".phlo"
    secret.write_text("API_TOKEN=abc\n")
    secret.chmod(0o644)
    assert phlo("status").code == 0
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700
    found = findings(phlo("doctor", "--json"))["privacy"]
    assert (found["status"], "open .env;" in found["message"]) == ("failed", True)

    state_dir.chmod(0o755)
    answer = phlo("doctor", "--fix", "--json")
    assert (answer.code, findings(answer)["privacy"]["status"]) == (0, "ok")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert stat.S_IMODE(state_dir.stat().st_mode) == 0o700


def test_what_several_examinations_miss_is_told_once(tmp_path, monkeypatch, phlo):
    monkeypatch.setenv("PHLO_PROJECT_DIR", str(tmp_path))
    answer = phlo("doctor")
    assert answer.code == 1
    assert answer.out.count("is no phlo project") == 1
    assert "The same of: runs, tables, engine" in answer.out


QUERIES = """
    from phlo_quality import CustomSQLCheck, phlo_quality

    @phlo_quality(
        table="shop.orders",
        checks=[CustomSQLCheck("SELECT {} FROM shop.orders", 0, "asked")],
        asset_key=["orders"],
    )
    def order_checks():
        pass
"""


def test_sql_of_checks_that_is_refused_or_differs_is_named(phlo_project, phlo):
    phlo_project.write("workflows/orders.py", ORDERS)
    phlo_project.write("workflows/checks.py", QUERIES.format("approx_distinct(id)"))
    found = findings(phlo("doctor", "--json"))["queries"]
    assert found["status"] == "note"
    assert found["message"].startswith("check order_checks__CustomSQLCheck__asked: approx_distinct")

    phlo_project.write("workflows/checks.py", QUERIES.format("id::varchar"))
    answer = phlo("doctor", "--json")
    assert answer.code == 1
    assert findings(answer)["queries"]["hint"] == "Write CAST(... AS ...)."
