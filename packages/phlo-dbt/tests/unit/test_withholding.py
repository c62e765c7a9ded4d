from phlo_dbt.withholding import blocks, judged_models, withheld_models

NODES = {
    "a": {"name": "a", "resource_type": "model", "depends_on": {"nodes": []}},
    "e": {"name": "e", "resource_type": "model", "depends_on": {"nodes": ["a"]}},
    "b": {"name": "b", "resource_type": "model", "depends_on": {"nodes": ["e"]}},
    "c": {"name": "c", "resource_type": "model", "depends_on": {"nodes": []}},
    "on_a": {
        "name": "on_a",
        "resource_type": "test",
        "attached_node": "a",
        "config": {"severity": "ERROR"},
        "depends_on": {"nodes": ["a", "c"]},
    },
    "on_both": {
        "name": "on_both",
        "resource_type": "test",
        "attached_node": None,
        "config": {},
        "depends_on": {"nodes": ["b", "c"]},
    },
    "soft": {
        "name": "soft",
        "resource_type": "test",
        "attached_node": "c",
        "config": {"severity": "warn"},
        "depends_on": {"nodes": ["c"]},
    },
}


def withheld(statuses: dict[str, str], vetoes: dict[str, str] | None = None) -> dict[str, str]:
    return withheld_models(["a", "b", "c"], NODES, statuses, vetoes or {})


def test_nothing_is_withheld_when_all_passed():
    assert withheld({"a": "success", "on_a": "pass"}) == {}


def test_a_failed_test_withholds_the_model_it_stands_on_and_what_reads_it():
    assert withheld({"on_a": "fail"}) == {
        "a": "the test on_a failed",
        "b": "a, which it reads, is withheld",
    }


def test_a_test_that_could_not_run_withholds_too():
    assert set(withheld({"on_a": "error"})) == {"a", "b"}


def test_a_test_on_several_models_withholds_all_of_them():
    assert set(withheld({"on_both": "fail"})) == {"b", "c"}


def test_a_test_that_warns_withholds_nothing_even_if_it_could_not_run():
    assert withheld({"soft": "warn"}) == {}
    assert withheld({"soft": "error"}) == {}


def test_a_skipped_test_withholds_nothing():
    assert withheld({"on_a": "skipped"}) == {}


def test_a_model_that_failed_after_it_was_staged_is_withheld():
    assert withheld({"c": "error"}) == {"c": "it failed"}


def test_a_veto_withholds_with_its_own_reason():
    assert withheld({}, {"a": "the check x failed"}) == {
        "a": "the check x failed",
        "b": "a, which it reads, is withheld",
    }


def test_what_a_test_judges():
    assert judged_models(NODES["on_a"]) == ["a"]
    assert judged_models(NODES["on_both"]) == ["b", "c"]
    assert blocks(NODES["on_both"], "fail")
