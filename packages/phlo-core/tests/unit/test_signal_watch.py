"""Signals: noted whoever handles them, and sent again where one was lost."""

import contextlib
import os
import signal
import threading
import time

import pytest
from phlo.interrupts import StoppedError, interrupts_as_keyboard_interrupt, uninterrupted
from phlo.signal_watch import (
    did_signal_come,
    heed_signals,
    insist_on_signals,
    is_signal_lost,
    watch_signals,
)


@contextlib.contextmanager
def handler(function):
    before = {n: signal.signal(n, function) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_noted_whoever_handles_it_and_the_first_counts(number):
    with watch_signals() as watch, handler(lambda *_: None):
        assert (watch.first, did_signal_come(), is_signal_lost()) == (None, False, False)
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), signal.SIGINT)
        assert (watch.first, did_signal_come(), is_signal_lost()) == (number, True, True)
        heed_signals()
        assert (did_signal_come(), is_signal_lost()) == (True, False)
    assert not did_signal_come()


def test_a_signal_that_ends_nothing_is_not_noted():
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    with watch_signals() as watch:
        os.kill(os.getpid(), signal.SIGUSR1)
        assert watch.first is None
    signal.signal(signal.SIGUSR1, before)


def test_nothing_is_heeded_before_a_signal_came():
    with watch_signals(), handler(lambda *_: None):
        heed_signals()
        os.kill(os.getpid(), signal.SIGINT)
        assert is_signal_lost()


def test_a_watch_within_another_is_the_same_and_other_threads_have_none_of_their_own():
    watches = []

    def watch():
        with watch_signals() as one:
            watches.append(one)

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join()
    assert watches == [None]
    with watch_signals() as outer, watch_signals() as inner:
        assert inner is outer


def test_a_lost_signal_is_sent_again_until_it_is_heeded():
    came = []
    third = threading.Event()

    def count(*_):
        came.append(True)
        if len(came) == 3:
            heed_signals()
            third.set()

    with handler(count), insist_on_signals():
        os.kill(os.getpid(), signal.SIGTERM)
        assert third.wait(60)
        time.sleep(2)
    assert len(came) == 3


def test_the_signals_of_a_forked_child_are_its_own():
    with watch_signals(), handler(lambda *_: None):
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(7 if did_signal_come() else 0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert not did_signal_come()


def test_a_block_that_swallows_a_signal_raises_it_at_its_end():
    def swallow():
        with interrupts_as_keyboard_interrupt(), contextlib.suppress(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(60)

    with pytest.raises(StoppedError):
        swallow()


def test_no_section_begins_after_a_signal_that_was_lost_and_one_within_another_ends_whole():
    entered = []

    def commit():
        with uninterrupted():
            entered.append("outer")
            os.kill(os.getpid(), signal.SIGINT)
            with uninterrupted():
                entered.append("inner")

    with watch_signals(), handler(signal.default_int_handler):
        with pytest.raises(KeyboardInterrupt):
            commit()
        with pytest.raises(StoppedError):
            commit()
    assert entered == ["outer", "inner"]
