def findings(answer):
    return {row["subject"]: row for row in answer.json}


def test_a_healthy_project_has_nothing_failed(plain_project, phlo):
    answer = phlo("doctor", "--json")
    assert answer.code == 0
    found = findings(answer)
    assert {row["status"] for row in found.values()} <= {"ok", "note"}
    assert found["project"]["message"].endswith(": 6 assets, 1 check")
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
    assert "pip install phlo-iceberg" in answer.out
