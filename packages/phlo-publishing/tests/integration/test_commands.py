"""`phlo postgres`, on a server of the project's own."""

import pytest
from click.testing import CliRunner
from phlo.errors import ConfigurationError
from phlo_publishing.commands import postgres
from phlo_publishing.server import EmbeddedServer, give_back

pytestmark = pytest.mark.integration


@pytest.fixture
def server(phlo_environment):
    server = EmbeddedServer(phlo_environment / ".phlo" / "postgres")
    yield server
    give_back(server)
    server.stop()


def call(*arguments):
    return CliRunner().invoke(postgres, arguments, catch_exceptions=False)


def test_a_started_server_outlives_its_user_until_it_is_stopped(server):
    started = call("start")
    assert started.exit_code == 0
    assert "phlo@127.0.0.1:" in started.output
    assert (server.folder / "password").read_text() not in started.output
    give_back(server)
    assert server.is_running()
    assert call("stop").output == "PostgreSQL is stopped.\n"
    assert not server.is_running()


def test_psql_reaches_the_database_and_hands_on_its_exit_code(server, capfd):
    assert call("psql", "-X", "-At", "-c", "SELECT current_database()").exit_code == 0
    assert capfd.readouterr().out == "phlo\n"
    assert call("psql", "-X", "-c", "SELECT nonsense").exit_code == 1
    assert "nonsense" in capfd.readouterr().err


def test_a_server_of_the_users_own_is_not_started(postgres_database):
    with pytest.raises(ConfigurationError, match="no server of its own"):
        call("start")
