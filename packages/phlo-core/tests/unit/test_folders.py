"""Who may open what phlo keeps."""

import os
import stat

import pytest
from phlo.folders import make_folder
from phlo.locks import locked


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("inner", [".phlo", ".phlo/dagster", ".phlo/staging/run/events-0"])
def test_the_state_folder_is_made_for_its_owner_alone(tmp_path, umask, inner):
    folder = make_folder(tmp_path / "new" / inner)
    assert folder.is_dir()
    assert mode(tmp_path / "new" / ".phlo") == 0o700
    assert mode(tmp_path / "new") == 0o777 & ~umask


def test_a_lock_makes_the_state_folder_so_too(tmp_path):
    with locked(tmp_path / ".phlo" / "locks" / "one"):
        assert mode(tmp_path / ".phlo") == 0o700


def test_a_folder_that_its_owner_opened_to_others_stays_so(tmp_path):
    (tmp_path / ".phlo").mkdir(mode=0o750)
    make_folder(tmp_path / ".phlo" / "runs")
    assert mode(tmp_path / ".phlo") == 0o750
