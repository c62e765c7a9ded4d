"""When Python looks for garbage."""

import gc

import pytest
from phlo_cli.garbage import OBJECTS_PER_COLLECTION, collect_between_runs, collect_rarely


@pytest.fixture(autouse=True)
def _thresholds():
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_the_first_collection_waits_and_the_later_ones_come_as_runs_are_made():
    collect_rarely()
    assert gc.get_threshold()[0] > 10 * OBJECTS_PER_COLLECTION
    collect_between_runs()
    assert gc.get_threshold()[0] == OBJECTS_PER_COLLECTION
    assert gc.get_freeze_count() > 0


def test_a_process_of_somebody_else_keeps_its_thresholds():
    gc.set_threshold(700)
    collect_between_runs()
    assert gc.get_threshold()[0] == 700
