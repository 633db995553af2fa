"""This process's way into the store: by one thread at a time, and what the store can tell of its spans."""

from __future__ import annotations

import functools
import sys
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from agentops import safety

if TYPE_CHECKING:
    from agentops.recorder.watchdog import OpenSpan
    from agentops.store.ingest import Ingester

__all__ = ["Intake", "Stopped"]


class Stopped(BaseException):
    """The recorder's thread is to end between two steps; no failure, so what deals with those lets it pass."""


class Intake:
    """Brings the journals of one process into the store.

    Args:
        process: the number that the journals bear.
    """

    def __init__(self, process: int) -> None:
        self._process = process
        self._ingester: Ingester | None = None
        #: Held while records are brought in.
        self.lock = threading.Lock()

    def run(
        self,
        store: str,
        deadline: float | None,
        pack: bool,
        polite: Callable[[], int] | None,
        bounds: tuple[tuple[int, ...], bool],
        first: Callable[[], None],
    ) -> bool:
        """Bring in what there is; True if it is all in. Never raises.

        Args:
            store: path of the database file.
            deadline: on the monotonic clock.
            pack: also compress and index contents once there are enough of them.
            polite: rest while what it gives changes; it may raise `Stopped`.
            bounds: of the store, and whether somebody has set them.
            first: called before anything is read.
        """
        wait = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self.lock.acquire(timeout=wait):
            return False
        # Under `agentops run`, it is told that somebody waits for this.
        notes: Any = None if polite else sys.modules.get("_agentops_notes")
        try:
            if polite is not None:
                polite()  # while it waited, it may have been told to end, and the store have been closed
            first()
            if notes is not None:
                notes.doing(notes.INGESTS)
            from agentops.store.ingest import Ingester  # not needed before there is something to ingest

            ingester = self._ingester
            if ingester is None:
                ingester = self._ingester = Ingester(store, deadline)
            keep_within = functools.partial(ingester.keep_within, *bounds, deadline, polite)
            done = ingester.run(self._process, deadline, pack, polite, between=keep_within)
            if pack or deadline is not None:
                keep_within()
            return done
        except Stopped:
            return False
        except Exception as problem:  # noqa: BLE001 - the journal keeps what is not in the store
            safety.failed("ingest", problem, lost=0)
            self._ingester = None
            return False
        finally:
            if notes is not None:
                notes.doing(notes.RESTS)
            self.lock.release()

    def rests(self, timeout: float) -> None:
        """Wait until nobody is in the middle of it, for as many seconds at most."""
        if self.lock.acquire(timeout=timeout):
            self.lock.release()

    def leave_store(self) -> None:
        """What comes next goes into another store."""
        self._ingester = None

    def close(self, tidy: bool = True, timeout: float = -1) -> None:
        """Close the store, tidy if there is time for that.

        Args:
            tidy: compress and index what came in.
            timeout: for as many seconds at most it is waited until nobody is in the middle of something; -1: as long as
                it takes.
        """
        if self._ingester is not None and self.lock.acquire(timeout=timeout):
            try:
                self._ingester.close(tidy)
                self._ingester = None
            finally:
                self.lock.release()

    def open_spans(self) -> list[OpenSpan]:
        """What the process has open, as far as it was brought in; nothing while that is done."""
        if self._ingester is None or not self.lock.acquire(blocking=False):
            return []
        try:
            return [] if self._ingester is None else self._ingester.open_spans(self._process)
        finally:
            self.lock.release()

    def below(self, trace: bytes, span_id: int, spans: dict[int, int]) -> list[int]:
        """The keys of those of `spans` that are in a span, as far as that was brought in."""
        if self._ingester is None or not self.lock.acquire(blocking=False):
            return []
        try:
            ingester = self._ingester
            return [key for key, span in spans.items() if ingester and span_id in ingester.path(trace, span)]
        finally:
            self.lock.release()
