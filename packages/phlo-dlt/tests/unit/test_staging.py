"""Folders in which loads are staged."""

import itertools
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
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

    errors = []

    def load(asset):
        run_ids = itertools.cycle(["a run of both", uuid4().hex])
        try:
            while not is_over.is_set():
                with staging_folder(settings, next(run_ids), asset, 1):
                    pass
        except OSError as error:
            errors.append(error)

    loads = [threading.Thread(target=load, args=[asset]) for asset in ("dlt_a", "dlt_b")]
    for thread in loads:
        thread.start()
    try:
        for _ in range(300):
            remove_old(settings)
    finally:
        is_over.set()
        for thread in loads:
            thread.join()
    assert (errors, list(settings.staging_dir.iterdir())) == ([], [])


def test_a_folder_that_goes_while_it_is_looked_at_is_passed_over(phlo_environment, monkeypatch):
    settings = get_settings()
    (settings.staging_dir / "other run" / "dlt_events-1").mkdir(parents=True)
    is_dir = Path.is_dir

    def is_dir_and_goes(path):
        was = is_dir(path)
        if path.is_relative_to(settings.staging_dir):
            shutil.rmtree(settings.staging_dir / "other run", ignore_errors=True)
        return was

    monkeypatch.setattr(Path, "is_dir", is_dir_and_goes)
    with staging_folder(settings, "run", "dlt_events", 1) as folder:
        assert folder.exists()
    assert list(settings.staging_dir.iterdir()) == []


def test_a_folder_is_made_while_another_load_of_the_run_takes_it_away(
    phlo_environment, monkeypatch
):
    settings, mkdir, taken = get_settings(), os.mkdir, []

    def mkdir_and_goes(path, *arguments):
        mkdir(path, *arguments)
        if Path(path).name == "run" and not taken:
            taken.append(path)
            os.rmdir(path)

    monkeypatch.setattr(os, "mkdir", mkdir_and_goes)
    with staging_folder(settings, "run", "dlt_events", 1) as folder:
        assert (len(taken), folder.is_dir()) == (1, True)
