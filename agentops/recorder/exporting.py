"""What this process exports: a thread that sends what waits in the store, and what is left at the end."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from agentops import safety
from agentops.errors import AgentopsError, StoreError
from agentops.inert import line
from agentops.journal.names import journals
from agentops.recorder.suppression import suppressed
from agentops.store.location import journal_folder

if TYPE_CHECKING:
    from agentops.exporters.delivery import Delivery
    from agentops.exporters.target import Target

__all__ = ["Exporting"]

#: The program waits so long at its end for what is left, if the target answers.
EXIT_WAIT_S = 5.0
#: Another process may be sending at that moment.
_POLL_S = 0.05
#: Journals of processes that died are brought in by whoever exports.
_DEAD_S = 10.0
#: What is sent at once: much where the program does not record meanwhile, little and with rests where it does.
_SPANS, _BUSY_SPANS = 512, 32
_REST_S = 0.02


class Exporting:
    """The targets of this process, and the thread that sends to them.

    Args:
        process: number of this process.
        written: how much the process has recorded; while it changes, the program is busy.
    """

    def __init__(self, process: int, written: Callable[[], int]) -> None:
        self._process = process
        self._written = written
        self._store = ""
        self.targets: tuple[Target, ...] = ()
        self._deliveries: list[Delivery] = []
        #: Held by whoever sends.
        self._work = threading.Lock()
        self._news = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._looked_for_dead = float("-inf")

    def use(self, store: str, targets: tuple[Target, ...]) -> None:
        """From now on what is recorded into `store` goes to `targets`."""
        if (store, targets) == (self._store, self.targets):
            return
        from agentops.exporters.counting import MetricsDelivery
        from agentops.exporters.delivery import Delivery

        self._stop_thread(0.0)
        if self._work.acquire(blocking=False):  # else it waits for an answer, with deliveries of its own
            for delivery in self._deliveries:
                delivery.close()
            self._work.release()
        self._store, self.targets = store, targets
        self._deliveries = [Delivery(store, target, self._process) for target in targets]
        self._deliveries += [MetricsDelivery(store, target, self._process) for target in targets if target.metrics]

    def names(self) -> list[tuple[str, str]]:
        """What a journal says of the targets."""
        return [(one.name, one.target.redactor) for one in self._deliveries]

    def wake(self, may_start_threads: bool) -> None:
        """Something may have come into the store."""
        if not self._deliveries:
            return
        self._news.set()
        if self._thread is None and may_start_threads:
            given = self._stop, self._news
            thread = threading.Thread(target=self._run, args=given, name="agentops-export", daemon=True)
            try:
                thread.start()
                self._thread = thread
            except RuntimeError:  # no more threads, or the program ends: what is left goes then
                pass

    def finish(self, deadline: float | None) -> bool:
        """Send what is left, on this thread; True if nothing is. A target that does not answer well is left alone."""
        if not self._deliveries:
            return True
        self._stop_thread(0.0)
        wait = -1.0 if deadline is None else max(0.0, deadline - time.monotonic())
        if not self._work.acquire(timeout=wait):
            return False
        try:
            self._bring_in_the_dead(deadline)
            # Those that answered last come first: one that hangs takes all the time there is.
            for delivery in self._deliveries:
                delivery.is_ending = True
            done = [self._finish(one, deadline) for one in sorted(self._deliveries, key=lambda one: one.retry_at)]
            return all(done)
        finally:
            for delivery in self._deliveries:
                delivery.is_ending = False
                delivery.close()
            self._work.release()

    def _finish(self, delivery: Delivery, deadline: float | None) -> bool:
        def go_on() -> int:
            return _SPANS if deadline is None or time.monotonic() < deadline else 0

        while True:
            try:
                if delivery.run(go_on, deadline):
                    if delivery.target.is_console:
                        delivery.forget()
                    return True
            except Exception as problem:  # noqa: BLE001
                safety.failed("exporting", problem, lost=0)
                return False
            if delivery.trouble is not None or not go_on():
                return False
            time.sleep(_POLL_S)  # another process is at it

    def say_what_waits(self) -> None:
        """One line for each target that has not got everything."""
        for delivery in self._deliveries:
            count = delivery.waiting()
            if not count or delivery.target.is_console or sys.stderr is None:
                continue
            why = delivery.trouble or "it has not taken them in time"
            spans = "span waits" if count == 1 else "spans wait"
            says = f"{count} {spans} for {delivery.name} ({why}), sent with the next program that exports there"
            if delivery.target.redact is None and delivery.target.name is None:
                says += f", or by `agentops export --to otlp {delivery.name} --waiting`"
            print(line(f"agentops: {says}"), file=sys.stderr)

    # -- the thread ----------------------------------------------------------------------------------

    def _run(self, stop: threading.Event, news: threading.Event) -> None:
        with suppressed():
            while not stop.is_set():
                waits = [one.retry_at - time.monotonic() for one in self._deliveries if one.retry_at]
                news.wait(max(0.0, min(waits)) if waits else None)
                news.clear()
                if stop.is_set():
                    return
                with self._work:
                    try:
                        self._bring_in_the_dead(None)
                        for delivery in self._deliveries:
                            if time.monotonic() >= delivery.retry_at and (delivery.retry_at or delivery.has_news()):
                                delivery.run(functools.partial(self._politely, stop))
                            if stop.is_set():
                                return
                    except Exception as problem:  # noqa: BLE001 - what waits stays in the store
                        safety.failed("exporting", problem, lost=0)
                        stop.wait(1.0)

    def _politely(self, stop: threading.Event) -> int:
        """How many spans may be sent now; rests first where the program is busy."""
        if stop.is_set():
            return 0
        before = self._written()
        time.sleep(0.001)
        if self._written() == before:
            return _SPANS
        if stop.wait(_REST_S):
            return 0
        return _BUSY_SPANS

    def _bring_in_the_dead(self, deadline: float | None) -> None:
        """Processes that were killed have left what nobody else may bring in before somebody reads."""
        if time.monotonic() < self._looked_for_dead + _DEAD_S:
            return
        self._looked_for_dead = time.monotonic()
        folder = journal_folder(self._store)
        own = f"-{self._process:016x}-"
        try:
            self._forget_consoles(folder)
            others = [name for name in journals(folder) if own not in name]
            dead = {int(name.split("-")[1], 16) for name in others if _is_dead(os.path.join(folder, name))}
            if dead:
                from agentops.store.ingest import Ingester

                ingester = Ingester(self._store, deadline)
                try:
                    for process in sorted(dead):
                        ingester.run(process, deadline, written=self._written)
                finally:
                    ingester.close()
        except (OSError, StoreError) as problem:
            safety.failed("bringing in what others have left", problem, lost=0)

    def _forget_consoles(self, folder: str) -> None:
        """What was for the console of a process that was killed is for nobody."""
        if not any(target.is_console for target in self.targets):
            return
        from agentops.exporters.delivery import CONSOLE_OF
        from agentops.store.outbox import Outbox, states

        there = {name.split("-")[1] for name in journals(folder)}
        for state in states(self._store):
            process = state.name.removeprefix(CONSOLE_OF)
            if process != state.name and process not in there and process != f"{self._process:016x}":
                outbox = Outbox(self._store, state.name)
                outbox.forget_target()
                outbox.close()

    def _stop_thread(self, timeout: float) -> None:
        thread, self._thread = self._thread, None
        if thread is None or thread is threading.current_thread():
            return
        self._stop.set()
        self._news.set()
        self._stop, self._news = threading.Event(), threading.Event()
        if timeout:
            thread.join(timeout)

    # -- fork ----------------------------------------------------------------------------------------

    def before_fork(self, timeout: float) -> None:
        """Stop the thread; one that waits for an answer goes on until that comes."""
        self._stop_thread(timeout)

    def abandon(self) -> None:
        """In a child, which begins with nothing of its parent's."""
        for delivery in self._deliveries:
            delivery.abandon()


def _is_dead(path: str) -> bool:
    from agentops.journal.reading import open_journal, writer_is_alive

    descriptor = open_journal(path)
    if descriptor is None:
        return False
    try:
        return not writer_is_alive(descriptor)
    finally:
        os.close(descriptor)


def missing(targets: Sequence[Target]) -> AgentopsError | None:
    """What keeps spans from being sent to `targets`, if anything: what that needs may not be installed."""
    if all(target.is_console for target in targets):
        return None
    from agentops.exporters.sender import missing as missing_package

    return missing_package()
