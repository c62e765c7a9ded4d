"""How the tests themselves are run: those of one group by one worker."""

import pytest


@pytest.mark.xdist_group("servers")
def test_a_group_stays_together(request, worker_id):
    """Hold that pytest-xdist and pytest agree on where the name of a group stands."""
    assert worker_id == "master" or request.node.nodeid.endswith("@servers")
