"""What this process exports: threads that send what waits in the store, and what is left at the end."""

from __future__ import annotations

import functools
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextvars import Context
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


class _Life:
    """What is asked of one thread: to stop, and whether to send what is left before."""

    def __init__(self) -> None:
        self.news, self.stop, self.ended = threading.Event(), threading.Event(), threading.Event()
        self.finishes = self.done = False
        self.deadline: float | None = None

    def end(self) -> None:
        """Stop as soon as there is an answer to what was asked last."""
        self.stop.set()
        self.news.set()


class _Road:
    """To one target: what goes there, and the thread that sends it, so that no target waits for another."""

    def __init__(self, deliveries: list[Delivery]) -> None:
        self.deliveries = deliveries
        #: Held by whoever sends.
        self.work = threading.Lock()
        self.life: _Life | None = None
        self.thread: threading.Thread | None = None

    def start(self, run: Callable[[_Road, _Life], None], life: _Life) -> bool:
        """Begin a thread; False if there are no more, or the program ends."""
        thread = threading.Thread(target=run, args=(self, life), name="agentops-export", daemon=True)
        try:
            Context().run(thread.start)  # whatever the program is in just now is not what this thread is in
        except RuntimeError:
            return False
        self.life, self.thread = life, thread
        return True

    def stop(self) -> threading.Thread | None:
        """Have the thread stop, and be without one; gives it, to wait for."""
        thread, life = self.thread, self.life
        self.thread = self.life = None
        if life is not None:
            life.end()
        return None if thread is threading.current_thread() else thread

    def close(self) -> None:
        """Let go of the store, unless somebody waits for an answer: who does has deliveries of its own."""
        if self.work.acquire(blocking=False):
            for delivery in self.deliveries:
                delivery.close()
            self.work.release()

    def finish(self, deadline: float | None) -> bool:
        """Send what is left, on this thread; True if nothing is."""
        if not self.work.acquire(timeout=_left(deadline)):
            return False
        try:
            for delivery in self.deliveries:
                delivery.is_ending = True
            # Those that answered last come first: one that hangs takes all the time there is.
            order = sorted(self.deliveries, key=lambda one: one.retry_at)
            done = [_finish(one, deadline) for one in order]
            return all(done)
        finally:
            for delivery in self.deliveries:
                delivery.is_ending = False
                delivery.close()
            self.work.release()


class Exporting:
    """The targets of this process, and a thread for each that sends there.

    Args:
        process: number of this process.
        written: how much the process has recorded; while it changes, the program is busy.
    """

    def __init__(self, process: int, written: Callable[[], int]) -> None:
        self._process = process
        self._written = written
        self._store = ""
        self.targets: tuple[Target, ...] = ()
        self._roads: list[_Road] = []
        #: Held by whoever brings in what the dead have left.
        self._looking = threading.Lock()
        self._looked_for_dead = float("-inf")

    def use(self, store: str, targets: tuple[Target, ...]) -> None:
        """From now on what is recorded into `store` goes to `targets`."""
        if (store, targets) == (self._store, self.targets):
            return
        from agentops.exporters.counting import MetricsDelivery
        from agentops.exporters.delivery import Delivery

        for road in self._roads:
            road.stop()
            road.close()
        self._store, self.targets = store, targets
        self._roads = []
        for target in targets:
            kinds = (Delivery, MetricsDelivery) if target.metrics else (Delivery,)
            self._roads.append(_Road([kind(store, target, self._process) for kind in kinds]))

    def names(self) -> list[tuple[str, str]]:
        """What a journal says of the targets."""
        return [(one.name, one.target.redactor) for road in self._roads for one in road.deliveries]

    def begin(self, may_start_threads: bool) -> None:
        """Something is recorded: where there are several targets each needs its thread, and at a program's end none
        can be begun any more."""
        if len(self._roads) > 1 and may_start_threads:
            for road in self._roads:
                if road.life is None:
                    road.start(self._run, _Life())

    def wake(self, may_start_threads: bool) -> None:
        """Something may have come into the store."""
        for road in self._roads:
            if road.life is None and may_start_threads:
                road.start(self._run, _Life())  # if it cannot be begun, what is left goes at the end
            if road.life is not None:
                road.life.news.set()

    def finish(self, deadline: float | None, may_start_threads: bool) -> bool:
        """Send what is left; True if nothing is. A target that does not answer well is left alone, and keeps no other
        from what is for that one: they finish side by side."""
        roads = self._roads
        if not roads:
            return True
        self._bring_in_the_dead(deadline, _left(deadline))
        beside: list[_Life] = []
        here: list[_Road] = []
        for road in roads:
            life = self._finish_beside(road, deadline, may_start_threads) if len(roads) > 1 else None
            if life is None:
                road.stop()
                here.append(road)
            else:
                beside.append(life)
        done = True
        # Those that answered last come first, and each takes no more than its share of the time.
        here.sort(key=lambda road: max(one.retry_at for one in road.deliveries))
        for left, road in zip(range(len(here), 0, -1), here, strict=True):
            until = None if deadline is None else time.monotonic() + max(0.0, _left(deadline)) / left
            done = road.finish(until) and done
        for life in beside:
            wait = _left(deadline)
            done = life.ended.wait(None if wait < 0 else wait) and life.done and done
        return done

    def _finish_beside(self, road: _Road, deadline: float | None, may_start_threads: bool) -> _Life | None:
        """Have a thread send what is left on `road`: its own, else a new one; None if there can be none."""
        life = road.life
        if life is None:
            life = _Life()
            if not may_start_threads or not road.start(self._run, life):
                return None
        for delivery in road.deliveries:
            delivery.is_ending = True
        life.finishes, life.deadline = True, deadline
        road.stop()
        return life

    def say_what_waits(self, all_in: bool) -> None:
        """One line for each target that has not got everything.

        Args:
            all_in: whether all that was recorded is in the store: what is still in journals nobody has counted.
        """
        from agentops.store.outbox import waiting_for

        for delivery in [one for road in self._roads for one in road.deliveries]:
            if delivery.target.is_console or not delivery.holds_spans or sys.stderr is None:
                continue
            try:
                # By a connection of its own: a thread may still wait for an answer.
                count = waiting_for(self._store, delivery.name, delivery.target.redactor)
            except StoreError:
                count = 0
            if all_in and not count:
                continue
            not_yet = "it has not taken them in time" if all_in else "there was no time to bring all into the store"
            spans = "span waits" if count == 1 else "spans wait"
            counted = f"{'' if all_in else 'at least '}{count} {spans}" if count else "spans wait in journals"
            says = f"{counted} for {delivery.name} ({delivery.trouble or not_yet}), sent with the next program that "
            says += "exports there"
            if delivery.target.redact is None and delivery.target.name is None:
                says += f", or by `agentops export --to otlp {delivery.name} --waiting`"
            print(line(f"agentops: {says}"), file=sys.stderr)

    # -- the threads ---------------------------------------------------------------------------------

    def _run(self, road: _Road, life: _Life) -> None:
        with suppressed():
            try:
                self._send(road, life)
                if life.finishes:
                    life.done = road.finish(life.deadline)
            finally:
                life.ended.set()

    def _send(self, road: _Road, life: _Life) -> None:
        stop, news = life.stop, life.news
        while not stop.is_set():
            waits = [one.retry_at - time.monotonic() for one in road.deliveries if one.retry_at]
            news.wait(max(0.0, min(waits)) if waits else None)
            news.clear()
            if stop.is_set():
                return
            with road.work:
                try:
                    self._bring_in_the_dead(None, 0.0)
                    for delivery in road.deliveries:
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

    def _bring_in_the_dead(self, deadline: float | None, wait: float) -> None:
        """Processes that were killed have left what nobody else may bring in before somebody reads.

        Args:
            deadline: on the monotonic clock.
            wait: seconds to wait for another thread that is at it; below 0 without end.
        """
        if not self._looking.acquire(timeout=wait):
            return
        try:
            if time.monotonic() >= self._looked_for_dead + _DEAD_S:
                self._looked_for_dead = time.monotonic()
                self._look_for_the_dead(deadline)
        finally:
            self._looking.release()

    def _look_for_the_dead(self, deadline: float | None) -> None:
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

    # -- fork ----------------------------------------------------------------------------------------

    def before_fork(self, timeout: float) -> None:
        """Stop the threads; one that waits for an answer goes on until that comes."""
        until = time.monotonic() + timeout
        for thread in [road.stop() for road in self._roads]:
            if thread is not None:
                thread.join(max(0.0, until - time.monotonic()))

    def abandon(self) -> None:
        """In a child, which begins with nothing of its parent's."""
        for road in self._roads:
            for delivery in road.deliveries:
                delivery.abandon()


def _left(deadline: float | None) -> float:
    """Seconds until `deadline`; -1 without one, as locks have it."""
    return -1.0 if deadline is None else max(0.0, deadline - time.monotonic())


def _finish(delivery: Delivery, deadline: float | None) -> bool:
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
