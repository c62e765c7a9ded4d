"""Every test runs with settings and environment of its own, and with the same values each time."""

import pytest
from hypothesis import settings

# `--hypothesis-profile default` tries other values.
settings.register_profile("repeatable", derandomize=True)
settings.load_profile("repeatable")

# Projects that `phlo init` writes have tests of their own, which run in their own folder.
collect_ignore_glob = ["*/templates/*", "examples/*"]


@pytest.fixture(autouse=True)
def _isolated(phlo_environment):
    """No test sees the settings, plugins or project of another."""
