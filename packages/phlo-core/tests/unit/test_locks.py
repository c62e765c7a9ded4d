import subprocess
import sys

import pytest
from phlo.locks import locked, write_whole

HOLD = """
import sys, time
from pathlib import Path
from phlo.locks import locked

with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_lock_of_a_killed_process_is_free_again(tmp_path):
    path = tmp_path / "folder" / "a.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True
    )
    with holder:
        assert holder.stdout.readline() == "held\n"
        with (
            pytest.raises(BlockingIOError, match=r"a\.lock is locked"),
            locked(path, timeout_seconds=0),
        ):
            pass
        holder.kill()
        holder.wait()

        with locked(path):
            assert path.exists()


def test_an_error_inside_frees_the_lock(tmp_path):
    path = tmp_path / "a.lock"
    with pytest.raises(KeyError), locked(path):
        raise KeyError

    with locked(path, timeout_seconds=0):
        pass


def test_a_lock_whose_folder_was_removed_meanwhile_is_freed_without_an_error(tmp_path):
    path = tmp_path / "folder" / "a.lock"
    with locked(path):
        path.unlink()
        path.parent.rmdir()

    with locked(path, timeout_seconds=0):
        pass


def test_write_whole_leaves_no_draft(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()

    write_whole(folder / "state.json", "{}")

    assert [(f.name, f.read_text()) for f in folder.iterdir()] == [("state.json", "{}")]
