"""A dbt model that cannot be parsed is told by every command, once, until it is mended."""

import pytest
from phlo_cli import load_errors

MODELS = {
    "dbt_project.yml": "name: shop\nversion: '1.0'\nprofile: shop\nmodel-paths: [models]\n",
    "models/whole.sql": "select 1 as id",
}


@pytest.fixture
def broken(phlo_project, phlo):
    """Name the file of a broken model of a project that was whole before."""
    for name, text in MODELS.items():
        phlo_project.write(f"workflows/transforms/dbt/{name}", text)
    assert phlo("status").code == 0
    phlo_project.write("workflows/transforms/dbt/models/broken.sql", "select * from {{ ref('x') }}")
    return "models/broken.sql"


def test_a_broken_model_is_told_each_time_and_the_rest_is_shown(broken, phlo, monkeypatch):
    for command in (["status", "--json"], ["status", "--missing", "--json"]):
        monkeypatch.setattr(load_errors, "_shown", set())  # as in a process of its own
        looked = phlo(*command)
        assert looked.code == 0
        assert looked.err.count(broken) == 1
    judged = phlo("doctor", "--json")
    findings = [one for one in judged.json if broken in str(one)]
    assert (judged.code, len(findings)) == (1, 1)
    assert broken not in judged.err
