"""Secrets in texts: by value, by pattern, and at every place that texts pass."""

import json
import logging
import subprocess
import sys
from base64 import b64encode
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st
from phlo.redaction import MASK, MIN_LENGTH, _spellings, redact, remember_secrets, says_secret

CANARY = "caNARY7x"

LEAKS = [
    f"https://host/x?api_key={CANARY}&day=1",
    f"/x?apikey={CANARY} (Caused by NewConnectionError('refused'))",
    *(f"https://host/x?{name}={CANARY}" for name in ("pat", "pwd", "code", "sid", "access", "sig")),
    f"https://me:{CANARY}@host/x",
    f"postgresql+psycopg://me:a@b/{CANARY}@host:5432/db",
    f'could not translate host name "postgresql://me:{CANARY}@db/x" to address',
    f"https://{CANARY}@host/x",
    f"Driver={{PG}};Server=db;UID=me;PWD={CANARY};",
    f"host=db password={CANARY} user=me",
    f"host=db password='{CANARY} x' user=me",
    f"InvalidHeader: header value: 'Bearer {CANARY}\\n'",
    f"header value: b'Bearer {CANARY}'",
    f"Authorization: Bearer {CANARY}",
    f"{{'Authorization': 'Bearer {CANARY}\\n', 'Accept': '*/*'}}",
    f"Authorization: Basic {b64encode(f'me:{CANARY}'.encode()).decode()}",
    f"X-Api-Key: {CANARY}",
    f'{{"client_secret": "{CANARY}", "grant_type": "x"}}',
    f"Cookie: session={CANARY}; theme=dark",
    f"https://api.telegram.org/bot12345:{CANARY}/getUpdates",
    f"connect(user='me', password='{CANARY}', host='db')",
    f"ApiKeyAuth(api_key={CANARY!r}, name='x')",
]


@pytest.mark.parametrize("text", LEAKS, ids=range(len(LEAKS)))
def test_secrets_are_found_by_pattern(text):
    redacted = redact(text)
    assert CANARY not in redacted
    assert b64encode(f"me:{CANARY}".encode()).decode() not in redacted
    assert MASK in redacted


HARMLESS = [
    "unique_key 'evnt_id' is not a column of EventSchema.\nGot 'evnt_id'; expected one of ['id'].",
    'Hint: set unique_key="id" in @phlo_ingestion.',
    "the key ('a', 1) twice",
    "Key (id)=(5) already exists.",
    "Invalid expression / Unexpected token. Line 1, Col: 5.",
    "HTTPConnectionPool(host='127.0.0.1', port=9): Max retries exceeded with url: /x?day=1",
    "http://localhost:8080/users/@me answers 404",
    "Basic checks passed; token bucket is full",
    "password=None, token=''",
    "https://host/x?updated_since=2025-01-01&page=2",
    "The secret of good tables: checks.",
    "sqlite:////srv/shop/.phlo/catalog.db",
]


@pytest.mark.parametrize("text", HARMLESS, ids=range(len(HARMLESS)))
def test_ordinary_messages_stay_as_they_are(text):
    assert redact(text) == text


@pytest.mark.parametrize(
    ("name", "is_secret"),
    [
        ("API_KEY", True),
        ("SHOP_TOKEN", True),
        ("SOURCES__REST_API__CREDENTIALS__PASSWORD", True),
        ("GITHUB_PAT", True),
        ("DB_PASS", True),
        ("DB_PWD", True),
        ("apikey", True),
        ("AWS_SECRET_ACCESS_KEY", True),
        ("PWD", False),
        ("OLDPWD", False),
        ("SSH_AUTH_SOCK", False),
        ("UNIQUE_KEY", False),
        ("PATH", False),
        ("COMPASS", False),
        ("KEYBOARD", False),
    ],
)
def test_names_say_what_is_secret(name, is_secret):
    assert says_secret(name) == is_secret


@pytest.mark.parametrize("value", [CANARY, f" {CANARY}\n", f"https://me:{CANARY}@host/db"])
@pytest.mark.parametrize("source", ["environment", "remembered", ".env"])
def test_secrets_are_found_by_value_wherever_they_stand(value, source, monkeypatch, tmp_path):
    monkeypatch.setattr("phlo.redaction._remembered", set())
    monkeypatch.setenv("PHLO_PROJECT_DIR", str(tmp_path))
    if source == "environment":
        monkeypatch.setenv("SHOP_TOKEN", value)
    elif source == ".env":
        (tmp_path / ".env").write_text(f"SHOP_TOKEN={value.strip()}\n")
    else:
        remember_secrets([value])
    assert redact(f"no such thing as {CANARY}!") == f"no such thing as {MASK}!"
    assert redact("a day like any other") == "a day like any other"


@given(st.text(min_size=MIN_LENGTH).filter(lambda t: len(t.strip()) >= MIN_LENGTH))
def test_no_spelling_of_a_secret_stays(secret):
    secret = secret.strip()
    texts = [secret, quote(secret, safe=""), quote_plus(secret), repr(secret), json.dumps(secret)]
    forms = set(_spellings(secret))
    assert all(any(form in text for form in forms) for text in texts)


def test_a_password_that_is_a_word_is_masked_as_a_word_alone(monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "postgres")
    assert redact("role postgres") == f"role {MASK}"
    assert redact("postgresql answers") == "postgresql answers"


def test_the_path_of_a_file_that_holds_a_secret_is_none(monkeypatch):
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", "/srv/keys/shop.json")
    assert redact("no file /srv/keys/shop.json") == "no file /srv/keys/shop.json"


SCRIPT = """
import logging, sys, threading
from phlo.redaction import install_redaction
install_redaction()
logging.basicConfig(level="INFO")
logger = logging.getLogger("shop")
logger.info("token is %s", "caNARY7x")
try:
    try:
        raise ValueError("caNARY7x is refused")
    except ValueError as inner:
        raise KeyError("outer") from inner
except KeyError:
    logger.exception("it failed with %d%%", 5)
def fail(): raise RuntimeError("in a thread: caNARY7x")
thread = threading.Thread(target=fail); thread.start(); thread.join()
error = OSError("caNARY7x"); error.add_note("a note on caNARY7x")
raise RuntimeError("at last") from error
"""


def test_logs_and_uncaught_errors_of_a_process_hold_no_secret():
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={"API_TOKEN": CANARY},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert CANARY not in done.stderr + done.stdout
    for expected in (
        "INFO:shop:token is ***",
        "ValueError: *** is refused",
        "it failed with 5%",
        "RuntimeError: in a thread: ***",
        "a note on ***",
        "RuntimeError: at last",
    ):
        assert expected in done.stderr


def test_a_record_with_wrong_arguments_is_left_to_its_handler():
    from phlo.redaction import _redact_record

    record = logging.LogRecord("x", logging.INFO, "f", 1, "%d", ("text",), None)
    assert _redact_record(record).args == ("text",)
