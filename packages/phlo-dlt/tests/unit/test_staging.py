"""Folders in which loads are staged."""

import os
import subprocess
import sys
import threading
import time
from uuid import uuid4

from filelock import FileLock
from phlo.config import get_settings
from phlo_dlt.kept.staging import remove_old, staging_folder

LONG_AGO = time.time() - 30 * 86_400


def test_the_folder_of_a_failed_load_is_kept(events):
    events.declare()

    events.load([events.row("a", 500)])

    (folder,) = events.project.root.glob(".phlo/staging/*/dlt_events-0")
    assert list(folder.glob("dlt/**/*.parquet"))


def test_old_folders_are_removed_unless_their_load_still_runs(phlo_project):
    settings = get_settings()
    folders = [settings.staging_dir / "run" / name for name in ("old", "running", "new")]
    for folder in folders:
        folder.mkdir(parents=True)
    for folder in folders[:2]:
        (folder / ".lock").touch()
        os.utime(folder, (LONG_AGO, LONG_AGO))

    with FileLock(folders[1] / ".lock"):
        os.utime(folders[1], (LONG_AGO, LONG_AGO))
        remove_old(settings)

    assert [folder.exists() for folder in folders] == [False, True, True]


def test_the_lock_of_a_killed_load_is_free(phlo_project):
    settings = get_settings()
    code = (
        "import os; from phlo.config import get_settings; from phlo_dlt.kept.staging import *\n"
        "with staging_folder(get_settings(), 'run', 'dlt_events', 0): os._exit(9)"
    )
    subprocess.run([sys.executable, "-c", code], check=False)
    folder = settings.staging_dir / "run" / "dlt_events-0"
    assert folder.exists()
    os.utime(folder, (LONG_AGO, LONG_AGO))

    with staging_folder(settings, "other", "dlt_events", 0):
        assert not folder.exists()


def test_old_folders_are_looked_for_while_other_loads_begin_and_end(phlo_environment):
    settings = get_settings()
    is_over = threading.Event()

    def load():
        while not is_over.is_set():
            with staging_folder(settings, uuid4().hex, "dlt_events", 1):
                pass

    loads = [threading.Thread(target=load) for _ in range(2)]
    for thread in loads:
        thread.start()
    try:
        for _ in range(300):
            remove_old(settings)
    finally:
        is_over.set()
        for thread in loads:
            thread.join()
    assert list(settings.staging_dir.iterdir()) == []
