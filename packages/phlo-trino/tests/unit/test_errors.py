"""What is told of a coordinator that cannot be asked; errors of queries are in integration."""

import contextlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from phlo.errors import ConfigurationError, ServiceError
from phlo_testing.ports import free_ports
from phlo_trino.server import TrinoServer
from phlo_trino.settings import TrinoSettings
from phlo_trino.statement import Statement


@contextlib.contextmanager
def http_server(status):
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def ask(port, **settings):
    TrinoServer(TrinoSettings(host="127.0.0.1", port=port, **settings)).run(
        Statement("SELECT 1", "SELECT 1")
    )


def test_a_refused_connection_names_the_address_and_may_be_tried_again():
    (port,) = free_ports(1)
    with pytest.raises(ServiceError, match=rf"http://127\.0\.0\.1:{port} cannot be reached") as e:
        ask(port)
    assert "Connection refused" in str(e.value)
    assert "PHLO_TRINO_HOST" in e.value.hint


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, ConfigurationError, "refuses the login"),
        (403, ConfigurationError, "refuses the login"),
        (404, ConfigurationError, "does not answer as Trino does"),
        (500, ServiceError, "does not answer now: HTTP status 500"),
        (503, ServiceError, "does not answer now"),
    ],
)
def test_a_status_is_told_by_what_is_to_be_done(status, kind, words):
    with http_server(status) as port, pytest.raises(kind, match=words):
        ask(port)


def test_tls_to_a_server_without_it_is_told():
    with http_server(200) as port, pytest.raises(ConfigurationError, match="cannot be trusted"):
        ask(port, tls=True)
