"""What phlo may write where people write too."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phlo_superset.ledger import Ledger, fingerprint

TEXTS = st.sampled_from(["", "a", "b", "c"])


def compare(current, *, before, wanted="new"):
    ledger = Ledger({}, {} if before is None else {"x": fingerprint(before)})
    return ledger.compare({} if current is None else {"x": current}, {"x": wanted})


@pytest.mark.parametrize(
    ("current", "before", "place"),
    [
        ("new", None, "same"),
        ("new", "old", "same"),
        ("old", "old", "to_write"),
        ("", None, "to_write"),
        (None, None, "to_write"),
        ("edited", "old", "kept"),
        ("edited", None, "kept"),
        ("", "old", "kept"),
        (None, "old", "kept"),
    ],
)
def test_only_what_is_missing_or_as_phlo_wrote_it_is_written(current, before, place):
    comparison = compare(current, before=before)
    assert {name: bool(getattr(comparison, name)) for name in ("same", "to_write", "kept")} == {
        name: name == place for name in ("same", "to_write", "kept")
    }


@given(st.lists(st.tuples(st.sampled_from(["phlo", "people"]), TEXTS), max_size=8))
def test_a_text_that_people_wrote_last_is_never_overwritten(steps):
    """Unless they wrote again what phlo had written."""
    ledger, held, by_phlo = Ledger({}, {}), "", ""
    for writer, text in steps:
        if writer == "people":
            held = text
            continue
        comparison = ledger.compare({"x": held}, {"x": text})
        if held not in ("", by_phlo):
            assert not comparison.to_write
        held = comparison.to_write.get("x", held)
        by_phlo = held if held == text else by_phlo
        ledger.note(comparison, {"x": text})
        assert not ledger.compare({"x": held}, {"x": text}).to_write


def test_other_keys_of_extra_are_kept_and_a_broken_one_is_empty():
    ledger = Ledger.read('{"certification": {"by": "us"}, "phlo": {"written": {"x": "1"}}}')
    assert json.loads(ledger.written())["certification"] == {"by": "us"}
    assert Ledger.read(ledger.written()) == ledger
    for text in (None, "", "[]", "{", '{"phlo": 1}', '{"phlo": {"written": []}}'):
        assert Ledger.read(text).fingerprints == {}
