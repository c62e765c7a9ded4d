"""Run with `phlo test`, or with pytest in the project's folder."""

from datetime import date

from workflows.ingestion.nightscout.entries import glucose_entries
from workflows.ingestion.nightscout.server import entries_of, start


def test_a_day_arrives_whole_once_late_readings_are_there(monkeypatch):
    server = start()
    monkeypatch.setattr("workflows.ingestion.nightscout.entries.nightscout_url", lambda: server.url)
    first = list(glucose_entries("2025-11-04"))
    again = list(glucose_entries("2025-11-04"))
    server.shutdown()
    server.server_close()

    def sorted_ids(entries):
        return sorted(entry["_id"] for entry in entries)

    day = date(2025, 11, 4)
    assert sorted_ids(first) == sorted_ids(entries_of(day, with_late=False))
    assert sorted_ids(again) == sorted_ids(entries_of(day))
