"""Run Dagster's processes under `phlo dev`: start them, notice one that ended, stop them all.

`dagster dev` starts a web server, a daemon, and a proxy that starts the code server. It ends when
one of the first two does. It does not notice that the code server has ended, nor that one of the
first two has heeded a SIGTERM, after which their processes stay and do nothing.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import psutil
from phlo.errors import FatalRunError

from phlo_cli.dagster_private import DAEMON, SERVICES, WEB_SERVER, name_service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_STOP_SECONDS = 20
_LOOK_SECONDS = 0.5
_LOOKS = 3
_LOOKS_BETWEEN_BEATS = 20
_LOOKS_WITHOUT_BEAT = 180
_STARTS = 4
_PAUSE_SECONDS = 10
_LOOKS_AFTER_PAUSE = 240
_WITHIN_SECONDS = 600
_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PR_SET_PDEATHSIG = 1


def serve_until_stopped(
    command: list[str],
    environment: dict[str, str],
    cwd: str,
    *,
    last_heartbeat: Callable[[], float | None],
    on_loss: Callable[[str], None],
) -> None:
    """Run `dagster dev` until this process is told to stop; start it anew when a service ends.

    Args:
        command: Starts `dagster dev`.
        environment: Its environment variables.
        cwd: The folder to run it in.
        last_heartbeat: Returns when the daemon last said that it lives; it says so twice a minute.
        on_loss: Called with the name of the service that ended, when all others have ended too.

    Raises:
        FatalRunError: It ended before it served, or its services ended again and again.
    """
    starts: deque[float] = deque(maxlen=_STARTS)
    with _stop_signals() as stopped:
        while not stopped.is_set():
            starts.append(time.monotonic())
            watch = _Watch(_start(command, environment, cwd), last_heartbeat)
            _serve(watch, stopped)
            if stopped.is_set():
                return
            if watch.follows_pause:
                starts.clear()
            _require_hope(watch.lost, starts)
            on_loss(watch.lost)


def _require_hope(lost: str, starts: deque[float]) -> None:
    """Raise if services ended so often of late that another start would not help."""
    if len(starts) == _STARTS and time.monotonic() - starts[0] < _WITHIN_SECONDS:
        raise FatalRunError(
            f"A process of phlo dev ended {_STARTS} times within {_WITHIN_SECONDS // 60} minutes, "
            f"at last Dagster's {lost}. All of phlo dev has ended.",
            hint="Find out what ends it, a lack of memory for one, then start `phlo dev` again.",
        )


def _start(command: list[str], environment: dict[str, str], cwd: str) -> subprocess.Popen[bytes]:
    """Start the command in a process group of its own.

    A Ctrl-C reaches it once, from here, and what its children leave behind is found by the group.
    """
    return subprocess.Popen(
        command, env=environment, cwd=cwd, start_new_session=True, preexec_fn=_end_with_parent
    )


def _serve(watch: _Watch, stopped: threading.Event) -> None:
    """Wait for a stop or a loss, and leave no process of the command behind."""
    child = watch.child
    try:
        while not stopped.is_set() and not watch.finds_loss():
            time.sleep(_LOOK_SECONDS)  # an event that is waited for must not be set by a signal
    finally:
        child.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(_STOP_SECONDS)
        _end_group(child)
    if not stopped.is_set() and not watch.has_served:
        raise FatalRunError(
            f"Dagster ended while it started, with exit code {child.returncode}.",
            hint="Read what it says above, or start it with `phlo dev --verbose`.",
        )


class _Watch:
    """Which services of one `dagster dev` have been seen at work, and which one was lost.

    It counts looks and no seconds, which pass while this process is paused with all others.

    Attributes:
        child: The process of `dagster dev`.
        lost: Name of the service; `dagster dev` itself where no other one was lost before it.
    """

    def __init__(
        self, child: subprocess.Popen[bytes], last_heartbeat: Callable[[], float | None]
    ) -> None:
        self.child = child
        self.lost = "main process (dagster dev)"
        self._seen: set[str] = set()
        self._missing: set[str] = set()
        self._looks_missing = 0
        self._last_heartbeat = last_heartbeat
        self._beat: float | None = None
        self._looks_without_beat = 0
        self._looked = time.monotonic()
        self._looks_since_pause = _LOOKS_AFTER_PAUSE

    @property
    def follows_pause(self) -> bool:
        """Return whether all processes were paused of late, which costs the code server."""
        return self._looks_since_pause < _LOOKS_AFTER_PAUSE

    @property
    def has_served(self) -> bool:
        """Return whether the daemon was seen, which is started last."""
        return DAEMON in self._seen

    def finds_loss(self) -> bool:
        """Look once; return whether `dagster dev` has ended, or a service that was seen."""
        self._notice_pause()
        if self.child.poll() is not None:
            if self._missing:  # `dagster dev` ended for it, before enough looks missed it
                self.lost = _first(self._missing)
            return True
        if lost := self._missing_service() or self._silent_daemon():
            self.lost = lost
        return bool(lost)

    def _notice_pause(self) -> None:
        now = time.monotonic()
        was_paused = now - self._looked > _PAUSE_SECONDS
        self._looks_since_pause = 0 if was_paused else self._looks_since_pause + 1
        self._looked = now

    def _missing_service(self) -> str | None:
        """Name a service that several looks in a row missed: they are not read at one moment."""
        working = working_services(self.child.pid)
        self._missing = self._seen - working
        self._seen |= working
        self._looks_missing = self._looks_missing + 1 if self._missing else 0
        return None if self._looks_missing < _LOOKS else _first(self._missing)

    def _silent_daemon(self) -> str | None:
        """Name the daemon if it served and has not said for long that it lives."""
        self._looks_without_beat += 1
        if self._looks_without_beat % _LOOKS_BETWEEN_BEATS:
            return None
        try:
            beat = self._last_heartbeat()
        except Exception:  # noqa: BLE001 - a history that cannot be read tells nothing of a daemon
            self._looks_without_beat = 0
            return None
        if beat != self._beat or not self.has_served:
            self._beat, self._looks_without_beat = beat, 0
        return DAEMON if self._looks_without_beat >= _LOOKS_WITHOUT_BEAT else None


def _first(services: set[str]) -> str:
    return min(services, key=list(SERVICES).index)


def working_services(process_id: int) -> set[str]:
    """Name the services of Dagster that work below a process."""
    try:
        processes = psutil.Process(process_id).children(recursive=True)
    except psutil.NoSuchProcess:
        return set()
    return {service for process in processes if (service := _service_of(process))}


def _service_of(process: psutil.Process) -> str | None:
    """Name the service that a process is; a web server that does not listen is none."""
    try:
        service = name_service(process.cmdline())
        if service == WEB_SERVER and not _listens(process):
            return None
    except psutil.Error:  # it has ended meanwhile
        return None
    return service


def _listens(process: psutil.Process) -> bool:
    return any(c.status == psutil.CONN_LISTEN for c in process.net_connections(kind="tcp"))


@contextlib.contextmanager
def _stop_signals() -> Iterator[threading.Event]:
    """Set an event when this process is told to stop, instead of ending it.

    Before a child is made: one that inherits an ignored SIGINT would ignore SIGTERM too.
    """
    stopped = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        stopped.set()

    before = {number: signal.signal(number, stop) for number in _heeded_signals()}
    try:
        yield stopped
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _heeded_signals() -> list[signal.Signals]:
    """Return the signals that stop the command; under nohup a closed terminal does not."""
    is_nohup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [number for number in _STOPPING if not (number is signal.SIGHUP and is_nohup)]


def _end_with_parent() -> None:
    """Have the system end this process when phlo is killed; Linux alone knows how."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """End what is left of the command's process group, kindly and then not."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, number)
        for _ in range(50):
            if not _is_alive(child):
                return
            time.sleep(0.1)


def _is_alive(child: subprocess.Popen[bytes]) -> bool:
    child.poll()
    try:
        os.killpg(child.pid, 0)
    except ProcessLookupError:
        return False
    return True
