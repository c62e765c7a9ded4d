"""Every test runs with settings and environment of its own."""

import pytest


@pytest.fixture(autouse=True)
def _isolated(phlo_environment):
    """No test sees the settings, plugins or project of another."""
