import os
import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest
import yaml
from dagster import DagsterInstance
from phlo.config import get_settings
from phlo.errors import ConfigurationError
from phlo.orchestration.instance import open_instance, prepare_home

OPEN_AND_RUN = """
import dagster as dg
from phlo.config import get_settings
from phlo.orchestration.instance import open_instance

@dg.asset
def one(): ...

with open_instance(get_settings()) as instance:
    result = dg.materialize([one], instance=instance)
    assert result.success
"""


def test_the_instance_stands_in_the_project(phlo_environment):
    with open_instance(get_settings()) as instance:
        assert instance.root_directory == str(phlo_environment / ".phlo" / "dagster")
        assert instance.is_persistent


def test_its_settings_are_written_once_and_then_left_to_the_user(phlo_environment):
    home = prepare_home(get_settings())
    written = yaml.safe_load((home / "dagster.yaml").read_text())
    assert written["telemetry"] == {"enabled": False}
    assert written["nux"] == {"enabled": False}
    assert written["retention"]["schedule"] == {"purge_after_days": 90}
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    open_instance(get_settings()).dispose()
    assert (home / "dagster.yaml").read_text() == "telemetry: {enabled: false}\n"


def test_dagster_home_wins_and_nothing_is_written_into_its_settings(tmp_path, monkeypatch):
    home = tmp_path / "own"
    home.mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    with open_instance(get_settings()) as instance:
        assert instance.root_directory == str(home)
    assert not (home / "dagster.yaml").exists()
    assert not (get_settings().state_dir / "dagster").exists()


def test_a_dagster_home_that_is_not_there_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "gone"))
    with pytest.raises(ConfigurationError, match="which is no folder"):
        open_instance(get_settings())


def test_six_processes_may_start_cold_at_once(phlo_environment):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN_AND_RUN],
            env=os.environ | {"PHLO_PROJECT_DIR": str(phlo_environment)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(6)
    ]
    errors = [process.communicate(timeout=120)[1] for process in processes]
    assert [p.returncode for p in processes] == [0] * 6, "\n".join(errors)
    home = phlo_environment / ".phlo" / "dagster"
    with DagsterInstance.from_config(str(home)) as instance:
        assert instance.get_runs_count() == 6


def test_loggers_are_those_of_all_plugins_and_of_the_project(phlo_environment, monkeypatch):
    file = prepare_home(get_settings()) / "dagster.yaml"
    logs = yaml.safe_load(file.read_text())["python_logs"]
    assert {"phlo", "phlo_dlt", "workflows"} <= set(logs["managed_python_loggers"])
    assert logs["python_log_level"] == "DEBUG"

    other = [EntryPoint("more", "third_party.plugin", "phlo")]
    monkeypatch.setattr("phlo.orchestration.instance.entry_points", lambda group: other)
    prepare_home(get_settings())
    logs = yaml.safe_load(file.read_text())["python_logs"]
    assert logs["managed_python_loggers"] == ["phlo", "third_party", "workflows"]
