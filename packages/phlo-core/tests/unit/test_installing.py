import json

import pytest
from phlo import installing
from phlo.installing import install_command


class Distribution:
    def __init__(self, url):
        self._text = json.dumps({"url": url}) if url else None

    def read_text(self, name):
        assert name == "direct_url.json"
        return self._text


@pytest.fixture
def came_from(monkeypatch):
    def set_url(url):
        monkeypatch.setattr(installing.metadata, "distribution", lambda name: Distribution(url))

    return set_url


def test_from_an_index_the_names_are_enough(came_from):
    came_from(None)
    assert install_command("phlo-dlt", "polars") == "pip install phlo-dlt polars"
    assert install_command("phlo-cli[dev]") == 'pip install "phlo-cli[dev]"'


def test_from_a_folder_of_wheels_the_others_come_from_it(came_from, tmp_path):
    folder = tmp_path / "my wheels"
    folder.mkdir()
    for name in ("phlo_core", "phlo_cli", "phlo_dlt"):
        (folder / f"{name}-1.0.0-py3-none-any.whl").touch()
    came_from((folder / "phlo_core-1.0.0-py3-none-any.whl").as_uri())
    assert install_command("phlo-cli[dev]", "phlo-to-come", "polars") == (
        f'pip install "{folder}/phlo_cli-1.0.0-py3-none-any.whl[dev]" phlo-to-come polars'
    )


def test_from_a_checkout_the_others_come_from_it(came_from, tmp_path):
    for name in ("phlo-core", "phlo-dlt"):
        (tmp_path / name).mkdir()
    came_from((tmp_path / "phlo-core").as_uri())
    command = install_command("phlo-dlt", "polars")
    assert command == f"pip install -e {tmp_path}/phlo-dlt polars"


@pytest.mark.parametrize("url", ["https://example.com/phlo_core.whl", "file:///gone/phlo.whl"])
def test_where_it_came_from_is_no_longer_there(came_from, url):
    came_from(url)
    assert install_command("phlo-dlt") == "pip install phlo-dlt"
