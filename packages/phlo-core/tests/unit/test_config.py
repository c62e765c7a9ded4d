"""The settings of core, read from the environment."""

import pytest
from phlo.config import get_settings, reset_settings
from phlo.errors import ConfigurationError


@pytest.fixture
def here(tmp_path, monkeypatch):
    """Makes a project's folder, and goes there."""

    def go(name):
        (tmp_path / name / "workflows").mkdir(parents=True)
        monkeypatch.delenv("PHLO_PROJECT_DIR", raising=False)
        monkeypatch.chdir(tmp_path / name)
        reset_settings()
        return tmp_path / name

    yield go
    reset_settings()


@pytest.mark.parametrize("name", ["shop", "my Läden [1] 'x' & {y} $z"])
def test_the_folder_with_workflows_is_the_project(here, name):
    folder = here(name)
    assert get_settings().state_dir == folder / ".phlo"


@pytest.mark.parametrize("name", ["100%", "what?", "a#b"])
def test_a_folder_that_the_libraries_cannot_work_in_is_told(here, name):
    here(name)
    with pytest.raises(ConfigurationError, match=r"PHLO_PROJECT_DIR: /.* has one of \? # %"):
        get_settings()
