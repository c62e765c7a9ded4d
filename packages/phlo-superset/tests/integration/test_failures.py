"""What goes wrong between phlo and Superset, and what is said of it."""

import http.server
import threading

import pyarrow as pa
import pytest
from click.testing import CliRunner
from phlo.errors import ConfigurationError, FatalRunError, ServiceError
from phlo_superset.commands import superset as command
from phlo_testing.ports import free_ports

pytestmark = [pytest.mark.integration, pytest.mark.superset]


@pytest.fixture
def published(shop):
    shop.publish(m=pa.table({"n": [1]}))
    return shop


def test_a_wrong_password_is_named_and_not_shown(published, set_environment):
    set_environment(PHLO_SUPERSET_PASSWORD="not-the-password")
    with pytest.raises(ConfigurationError, match="refuses the user 'admin'") as caught:
        published.sync()
    assert "not-the-password" not in str(caught.value)


def test_a_superset_that_does_not_answer_is_named(published, set_environment):
    (port,) = free_ports(1)
    set_environment(PHLO_SUPERSET_URL=f"http://127.0.0.1:{port}")
    with pytest.raises(ServiceError, match=f"127.0.0.1:{port} cannot be reached: .*refused"):
        published.sync()


def test_a_user_without_rights_is_told_what_is_missing(published, set_environment):
    client = published.client
    roles = client._request("GET", "/api/v1/security/roles/", "list roles")["result"]
    gamma = next(role["id"] for role in roles if role["name"] == "Gamma")
    name = published.folder.name
    user = {
        "username": name,
        "first_name": "G",
        "last_name": "G",
        "email": f"{name}@example.com",
        "active": True,
        "password": "gamma-secret",
        "roles": [gamma],
    }
    client._request("POST", "/api/v1/security/users/", "create a user", json=user)
    set_environment(PHLO_SUPERSET_USER=name, PHLO_SUPERSET_PASSWORD="gamma-secret")
    with pytest.raises(ConfigurationError, match="may not create the database") as caught:
        published.sync()
    assert "Admin" in str(caught.value)


def test_a_database_that_superset_cannot_reach_is_told_without_its_password(
    published, set_environment
):
    (port,) = free_ports(1)
    uri = f"postgresql://phlo:hunter2hunter2@127.0.0.1:{port}/phlo"
    set_environment(PHLO_SUPERSET_DATABASE_URI=uri)
    with pytest.raises(FatalRunError, match="cannot create the database") as caught:
        published.sync()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"version_string": "5.0.0"}', "is too old"),
        (b"<html>It works!</html>", "is not Superset's API"),
        (b"[]", "is not Superset's API"),
    ],
)
def test_another_server_or_an_old_one_is_told(body, message, published, set_environment):
    with other_server(body) as url:
        set_environment(PHLO_SUPERSET_URL=url)
        with pytest.raises(ConfigurationError, match=message):
            published.sync()


class other_server:  # noqa: N801 - a context manager
    """A server that answers everything with the same bytes."""

    def __init__(self, body):
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *args):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)

    def __enter__(self):
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __exit__(self, *_):
        self._server.shutdown()
        self._server.server_close()


def test_nothing_published_is_told(shop):
    with pytest.raises(ConfigurationError, match="No mart is published yet"):
        shop.sync()


def test_a_branch_is_refused(published, set_environment):
    set_environment(PHLO_BRANCH="dev")
    with pytest.raises(ConfigurationError, match="branch 'dev'"):
        published.sync()


def test_the_command_prints_each_change_as_text_and_as_json(published):
    text = CliRunner().invoke(command, ["sync", "--dry-run"], catch_exceptions=False)
    assert "create      dataset marts.m\n" in text.output
    assert (
        f"Would be at {published.superset.url}/superset/dashboard/{published.slug}/" in text.output
    )
    json_text = CliRunner().invoke(command, ["sync", "--json"], catch_exceptions=False)
    assert '"action": "create"' in json_text.output
