"""A source's secrets stay out of everything that phlo keeps, however the source fails."""

import importlib
import logging

import dlt
import pytest
import requests
from dagster import Failure
from dlt.sources.rest_api import rest_api_source
from phlo.config import get_settings
from phlo.orchestration.instance import open_instance

BY_VALUE, BY_PATTERN, OF_DLT = "caNARY-of-env", "caNARY-of-a-file", "caNARY-of-dlt"
REFUSED = "http://127.0.0.1:9"


def fails_in_the_body(_):
    requests.get(f"{REFUSED}/x?q={BY_VALUE}", timeout=5)


def fails_while_paging(_):
    auth = {"type": "api_key", "name": "q", "api_key": BY_VALUE, "location": "query"}
    client = {"base_url": REFUSED, "auth": auth, "session": requests.Session()}
    resources = [{"name": "events", "endpoint": {"path": "x"}}]
    return rest_api_source({"client": client, "resources": resources})


def has_a_token_with_a_newline(_):
    requests.get(REFUSED, headers={"Authorization": f"Bearer {BY_PATTERN}\n"}, timeout=5)


def fails_in_a_generator(_):
    @dlt.resource(name="events")
    def rows():
        yield {"id": "a"}
        raise KeyError(BY_VALUE) from ValueError(f"no token {OF_DLT}")

    return rows()


def fails_on_purpose(_):
    raise Failure(description=f"the server refuses {BY_VALUE}", allow_retries=False)


def logs_and_fails(_):
    logging.getLogger("phlo_dlt.test").warning("asking with %s", BY_VALUE)
    raise RuntimeError({"password": BY_PATTERN})


FAILURES = (
    fails_in_the_body,
    fails_while_paging,
    has_a_token_with_a_newline,
    fails_in_a_generator,
    fails_on_purpose,
    logs_and_fails,
)


@pytest.fixture
def secrets(monkeypatch, phlo_project):
    monkeypatch.setattr("phlo.redaction._remembered", set())
    monkeypatch.setenv("SHOP_TOKEN", f"{BY_VALUE}\n")
    monkeypatch.chdir(phlo_project.root)
    phlo_project.write(".dlt/secrets.toml", f'[sources.shop]\napi = "{OF_DLT}"\n')
    with dlt.common.configuration.container.Container().injectable_context(
        dlt.common.configuration.specs.pluggable_run_context.PluggableRunContext()
    ):
        yield BY_VALUE, BY_PATTERN, OF_DLT


def test_no_secret_of_a_failed_source_is_kept(events, secrets):
    events.declare()
    module = importlib.import_module("workflows.ingestion.api.events")
    messages = []
    with open_instance(get_settings()) as instance:
        for source in FAILURES:
            module.source = source
            result = events._job.execute_in_process(
                instance=instance, partition_key="2025-01-15", raise_on_error=False
            )
            assert not result.success
            messages.append(result.failure_data_for_node("dlt_events").error.to_string())
    kept = [f for f in events.project.root.joinpath(".phlo").rglob("*") if f.is_file()]
    assert any(file.name == "index.db" for file in kept)
    for secret in secrets:
        assert not [m for m in messages if secret in m]
        assert not [str(f) for f in kept if secret.encode() in f.read_bytes()]
    # What helps to find the fault stays.
    assert "/x?q=***" in messages[0]
    assert "Connection refused" in messages[1]
    assert "Bearer ***\\n" in messages[2]
    assert "ValueError: no token ***" in messages[3]
    assert "the server refuses ***" in messages[4]
