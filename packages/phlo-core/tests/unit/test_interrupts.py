"""Work that a signal ends, and sections that it does not."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time

import pytest
from phlo.interrupts import (
    OutOfTimeError,
    StoppedError,
    run_interruptible,
    uninterrupted,
)
from phlo.limits import open_duckdb


def interrupt_after(seconds, number=signal.SIGINT):
    threading.Timer(seconds, lambda: os.kill(os.getpid(), number)).start()


@pytest.fixture(autouse=True)
def _interrupts_raise():
    numbers = (signal.SIGINT, signal.SIGTERM)  # a run in the background ignores Ctrl-C
    before = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    yield
    for number, previous in before.items():
        signal.signal(number, previous)


def test_work_gives_its_result_or_its_error():
    assert run_interruptible(lambda: 3) == 3
    with pytest.raises(ZeroDivisionError):
        run_interruptible(lambda: 1 / 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_work_that_waits_in_a_c_library(number):
    freed = threading.Event()
    interrupt_after(0.1, number)
    with pytest.raises(KeyboardInterrupt):
        run_interruptible(lambda: freed.wait(30), stop=freed.set)
    assert freed.is_set()


ENDLESS = "SELECT count(*) FROM range(10000000) a(x), range(10000000) b(y) WHERE md5(x || y) = ''"


def test_a_query_ends_with_the_work_that_was_given_up():
    ended = threading.Event()

    def work():
        try:
            open_duckdb({}).sql(ENDLESS).fetchall()
        finally:
            ended.set()

    interrupt_after(0.3)
    with pytest.raises(KeyboardInterrupt):
        run_interruptible(work)
    assert ended.wait(30)


def test_work_that_takes_too_long_is_given_up():
    with pytest.raises(OutOfTimeError):
        run_interruptible(lambda: time.sleep(2), timeout_seconds=0.05)


def test_a_section_of_work_ends_whole_before_the_signal_is_raised():
    done = []

    def work():
        with uninterrupted():
            time.sleep(0.4)
            done.append("section")
        time.sleep(0.4)
        done.append("rest")

    interrupt_after(0.1)
    with pytest.raises(KeyboardInterrupt):
        run_interruptible(work)
    time.sleep(0.5)
    assert done == ["section"]


def test_work_that_was_given_up_begins_no_section():
    entered, outcome = [], []

    def work():
        try:
            time.sleep(0.5)
            with uninterrupted():
                entered.append(True)
        except StoppedError:
            outcome.append("stopped")

    with pytest.raises(OutOfTimeError):
        run_interruptible(work, timeout_seconds=0.1)
    time.sleep(0.6)
    assert (entered, outcome) == ([], ["stopped"])


def test_a_section_of_the_main_thread_ends_whole_too():
    done = []

    def commit():
        with uninterrupted(), uninterrupted():
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.05)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        commit()
    assert done == [True]


HANGING = """
import os, signal, threading, time
from phlo.interrupts import run_interruptible
threading.Thread(target=time.sleep, args=(60,)).start()  # as a source's own pool leaves one
threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGTERM)).start()
signal.signal(signal.SIGTERM, signal.default_int_handler)
run_interruptible(lambda: time.sleep(60))
"""


def test_a_process_ends_though_threads_of_a_source_still_wait():
    code = [sys.executable, "-c", textwrap.dedent(HANGING)]
    ended = subprocess.run(code, timeout=50, check=False, capture_output=True)
    assert ended.returncode != 0


HELD_AT_EXIT = f"""
import os, threading, time
import duckdb
from phlo.interrupts import leave_now
connection = duckdb.connect()
query = lambda: connection.sql({ENDLESS!r}).to_arrow_reader()
threading.Thread(target=query, daemon=True).start()
time.sleep(1)
print("told", end="")
leave_now(143)
"""


def test_a_process_ends_though_a_library_waits_for_its_own_query_at_exit():
    code = [sys.executable, "-c", HELD_AT_EXIT]
    ended = subprocess.run(code, timeout=50, check=False, capture_output=True)
    assert (ended.returncode, ended.stdout) == (143, b"told")
