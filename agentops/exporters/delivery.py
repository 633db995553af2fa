"""Bringing what waits for one target there: in batches, again and again, each span once as far as anybody can tell.

A target that is away, slow or confused costs nothing but time: what it has not taken stays in the store. A span that it
refuses is found by halving its batch, and is set aside if the target takes others: else it is the target that is wrong.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import xxhash

from agentops import safety
from agentops.errors import StoreError
from agentops.exporters.sender import NOT_INSTALLED, Sender, Withheld
from agentops.exporters.target import CONSOLE, Target
from agentops.store.location import journal_folder, prepare
from agentops.store.outbox import Outbox, Waiting, Whole

if TYPE_CHECKING:
    from agentops.exporters.otlp import Answer

__all__ = ["BATCH_SPANS", "CONSOLE_OF", "DOUBTS", "READ_MOST", "Delivery", "clean", "name_of"]

BATCH_SPANS, BATCH_BYTES = 512, 2 << 20
#: So many are read at once, by how large they were last.
READ_LEAST, READ_MOST = 8, 256
_FIRST_RETRY_S, _LAST_RETRY_S = 1.0, 60.0
#: So long a span waits for what is redacted yet; the program redacts within seconds.
_AWAITED_S = 60.0
#: After so many refusals of single spans, and nothing taken, it is the target that is to blame.
DOUBTS = 8
_FULL_RANDOM = 2.0**56


#: What is for a console is called after its process.
CONSOLE_OF = f"{CONSOLE}#"


class Delivery:
    """What waits in a store for one target, on its way there. One thread at a time.

    Args:
        store: path of the database file.
        target: where to.
        process: of the program, for what is of that alone.
    """

    #: Whether what waits is spans, to be sent as they are.
    holds_spans = True
    #: What becomes of what the target does not take now.
    then = "Spans wait in the store and are sent when it goes again."

    def __init__(self, store: str, target: Target, process: int = 0) -> None:
        self.target = target
        self.name = name_of(target, process)
        self._store = store
        self._sender = Sender(target, store)
        self._outbox: Outbox | None = None
        self._awaited: dict[tuple[int, int], float] = {}
        self._suspects: list[Waiting] = []
        self._accepts = self._doubts = False
        self._read_spans = READ_LEAST
        self._lock = -1
        self._delay = 0.0
        self._version: int | None = None
        #: When to try again, on the monotonic clock; 0 if nothing went wrong last time.
        self.retry_at = 0.0
        #: The program ends: nothing may wait for a better time.
        self.is_ending = False
        #: Why nothing is sent, if so.
        self.trouble: str | None = None
        #: Spans that were sent by this, and why the last of those that were refused was.
        self.sent = 0
        self.last_refusal = ""

    def close(self) -> None:
        """Let go of the store."""
        if self._outbox is not None:
            self._outbox.close()
            self._outbox, self._version = None, None

    def abandon(self) -> None:
        """A forked child is not the one that sends, and must not keep its parent's lock."""
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def forget(self) -> None:
        """Nothing will ever be sent there again."""
        with contextlib.suppress(StoreError):
            self._opened().forget_target()
        self.close()

    def run(self, go_on: Callable[[], int], until: float | None = None) -> bool:
        """Send what waits; True if nothing is left that could be sent now.

        Args:
            go_on: called between steps; how many spans the next one may take, 0 to stop.
            until: on the monotonic clock: no request takes longer.
        """
        with self._alone() as alone:
            if not alone:
                self._version = None  # whoever is at it may end before it is done
                return False
            try:
                self._opened().wait_for_lock(None if until is None else max(0.0, until - time.monotonic()))
                return self._run(go_on, until)
            except StoreError as problem:
                self.close()
                self._wait(str(problem), None)
                return False

    def has_news(self) -> bool:
        """Whether there may be something to send that was not there last time."""
        try:
            version = self._opened().version()
        except StoreError:
            return False
        return version != self._version or bool(self._awaited)

    # -- how -----------------------------------------------------------------------------------------

    def _opened(self) -> Outbox:
        if self._outbox is not None and self._outbox.is_replaced:
            self.close()
        if self._outbox is None:
            self._outbox = Outbox(self._store, self.name, self.target.redactor)
        return self._outbox

    @contextlib.contextmanager
    def _alone(self) -> Iterator[bool]:
        """Of all processes one sends at a time; whoever dies lets go."""
        mark = xxhash.xxh3_64_hexdigest(f"{self.name}\n{self.target.redactor}".encode())
        path = os.path.join(journal_folder(self._store), f"export-{mark}.lock")
        try:
            prepare(self._store)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as problem:
            self._wait(f"{path} cannot be written: {problem.strerror}", None)
            yield False
            return
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                yield False
                return
            self._lock = descriptor
            yield True
        finally:
            if self._lock == descriptor:
                self._lock = -1
                fcntl.flock(descriptor, fcntl.LOCK_UN)  # a child that was forked meanwhile may have it open
            os.close(descriptor)

    def _run(self, go_on: Callable[[], int], until: float | None) -> bool:
        outbox = self._opened()
        self._version = outbox.version()
        self._suspects, self._accepts = [], False
        if self._doubts and not self._probe(outbox, until):
            return False
        after = 0
        ready: list[tuple[Waiting, Any]] = []
        size = 0
        while room := go_on():
            rows = outbox.rows(after, min(self._read_spans, room))
            if not rows:
                if ready and not self._deliver(outbox, ready, until):
                    return False
                return self._ended()
            after = rows[-1].n
            chosen = self._chosen(outbox, rows)
            found = outbox.whole(chosen)
            if len(found) < len(chosen):  # a store from elsewhere
                unreadable = list(set(chosen).difference(whole.row for whole in found))
                outbox.end(unreadable, refused=len(unreadable))
            average = sum(whole.size for whole in found) // max(1, len(found))
            self._read_spans = max(READ_LEAST, min(READ_MOST, BATCH_BYTES // (4 * (average + 1))))
            for whole in found:
                if whole.awaited and self._waits_for_content(whole.row):
                    continue
                if one := self._made(outbox, whole):
                    ready.append(one)
                    size += whole.size
                if len(ready) >= min(room, BATCH_SPANS) or size >= BATCH_BYTES:
                    if not self._deliver(outbox, ready, until):
                        return False
                    ready, size = [], 0
        if ready and not self._deliver(outbox, ready, until):
            return False
        self._version = None  # told to stop: there may be more
        return False

    def _ended(self) -> bool:
        """All that waits has been looked at."""
        if self._suspects:  # and nothing was taken: is it them, or the target?
            self._wait(self.trouble or "it refuses what it is sent", None)
            return False
        self._delay, self.retry_at, self.trouble, self._doubts = 0.0, 0.0, None, False
        return True

    def _chosen(self, outbox: Outbox, rows: list[Waiting]) -> list[Waiting]:
        """What is sent, by the target's sampling; what is not, and never will be, is taken out."""
        target = self.target
        if target.rate >= 1:
            return rows
        chosen: list[Waiting] = []
        out: list[Waiting] = []
        for row in rows:
            # By the bits that are random in any trace's id (https://www.w3.org/TR/trace-context-2/#random-trace-id-flag).
            if int(row.trace_id[-14:], 16) / _FULL_RANDOM < target.rate:
                chosen.append(row)
            elif row.open:
                continue
            elif (target.errors and row.failed) or (
                target.slower_than is not None and row.duration_ns >= target.slower_than * 1e9
            ):
                chosen.append(row)
            else:
                out.append(row)
        if out:
            outbox.end(out, sampled_out=len(out))
        return chosen

    def _waits_for_content(self, row: Waiting) -> bool:
        """Whether to leave a span until all that is in it has been redacted."""
        since = self._awaited.setdefault((row.trace, row.span_id), time.monotonic())
        return time.monotonic() - since < _AWAITED_S

    def _made(self, outbox: Outbox, whole: Whole) -> tuple[Waiting, Any] | None:
        self._awaited.pop((whole.row.trace, whole.row.span_id), None)
        try:
            return whole.row, self._sender.made(whole.detail, whole.scores)
        except Withheld as problem:
            safety.failed(f"the function of {self.name}", problem.__cause__ or problem, lost=0)
            outbox.end([whole.row], withheld=1)
            return None
        except ModuleNotFoundError:
            raise StoreError(NOT_INSTALLED) from None
        except MemoryError:
            raise StoreError("there is not enough memory") from None
        except Exception as problem:  # noqa: BLE001 - the user's function, or a store from elsewhere
            safety.failed("exporting a span", problem, lost=0)
            self.trouble = f"it cannot be converted ({type(problem).__name__})"
            if self._accepts:
                self._set_aside(outbox, [whole.row])
            else:
                self._suspects.append(whole.row)
            return None

    def _probe(self, outbox: Outbox, until: float | None) -> bool:
        """Whether the target takes any span at all, after it had refused all that it was sent."""
        for whole in outbox.whole(outbox.any_row(random.random())):  # noqa: S311 - any will do
            if (one := self._made(outbox, whole)) and not self._deliver(outbox, [one], until):
                return False
        if self._suspects:
            self._wait(self.trouble or "it refuses what it is sent", None)
            return False
        return True

    def _deliver(self, outbox: Outbox, items: list[tuple[Waiting, Any]], until: float | None) -> bool:
        """Send `items`, and what they are made of if it comes to that; False if the target has to be left alone."""
        if self.target.is_console:
            return self._print(outbox, items)
        todo = [items]
        while todo:
            some = todo.pop()
            left = set(outbox.begin([row for row, _ in some]))
            some = [item for item in some if item[0] in left]
            if not some:
                continue
            rows = [row for row, _ in some]
            seconds = None if until is None else until - time.monotonic()
            if seconds is not None and seconds <= 0:
                outbox.did_not_arrive(rows, "the program ended before it was sent", certainly=True)
                return False
            answer = self._sender.send([made for _, made in some], seconds)
            answer = answer._replace(says=clean(answer.says))
            if answer.kind == "taken":
                self._taken(outbox, rows, answer)
                continue
            outbox.did_not_arrive(rows, answer.says, certainly=answer.kind != "unknown")
            if answer.kind != "refused":
                self._wait(answer.says, answer.retry_after)
                return False
            self.trouble = answer.says
            if len(some) > 1:
                half = len(some) // 2
                todo += [some[half:], some[:half]]
            elif self._accepts:
                self._set_aside(outbox, rows)
            else:
                self._suspects += rows
                if len(self._suspects) >= DOUBTS:
                    self._doubts = True
                    self._wait(answer.says, answer.retry_after)
                    return False
        return True

    def _taken(self, outbox: Outbox, rows: list[Waiting], answer: Answer) -> None:
        rejected = min(answer.rejected, len(rows))
        outbox.end(rows, sent=len(rows) - rejected, refused=rejected)
        self.sent += len(rows) - rejected
        if rejected:
            self.last_refusal = answer.says
            safety.said(
                f"spans rejected by {self.name}",
                f"{self.name} rejected {rejected} of {len(rows)} spans ({answer.says or 'it does not say why'}); they "
                "are not sent again. `agentops doctor` counts them.",
            )
        self._accepts, self._doubts = True, False
        self._delay, self.retry_at, self.trouble = 0.0, 0.0, None
        if self._suspects:  # it takes others: it was them
            suspects, self._suspects = self._suspects, []
            self._set_aside(outbox, suspects)

    def _set_aside(self, outbox: Outbox, rows: list[Waiting]) -> None:
        outbox.end(rows, refused=len(rows))
        self.last_refusal = self.trouble or ""
        safety.said(
            f"spans refused by {self.name}",
            f"{self.name} refuses a span and takes others ({self.trouble}): it is not sent again. `agentops doctor` "
            "counts such spans.",
        )
        self.trouble = None

    def _print(self, outbox: Outbox, items: list[tuple[Waiting, Any]]) -> bool:
        if sys.stderr is not None:
            with contextlib.suppress(OSError, ValueError):
                sys.stderr.write("".join(f"{line}\n" for _, line in items))
                sys.stderr.flush()
        outbox.end([row for row, _ in items], sent=len(items))
        self.sent += len(items)
        return True

    def _wait(self, why: str, retry_after: float | None) -> None:
        """Leave the target alone for a while, ever longer."""
        self.trouble = why
        self._delay = min(_LAST_RETRY_S, max(_FIRST_RETRY_S, 2 * self._delay))
        rest = max(self._delay * random.uniform(0.5, 1.0), retry_after or 0.0)  # noqa: S311 - so that not all come at once
        self.retry_at = time.monotonic() + rest
        if self.is_ending:  # what waits is told in a moment, with the reason
            return
        safety.said(
            f"no export to {self.name}",
            f"nothing is exported to {self.name} now: {why}. {self.then}",
        )


def clean(says: str) -> str:
    """What a target says, as it may be written: it may hold something of the spans."""
    try:
        return says if safety.clean is None else str(safety.clean(says))
    except Exception:  # noqa: BLE001 - the user's function
        return "it answered what cannot be told"


def name_of(target: Target, process: int = 0) -> str:
    """What a target is called in the store; a console is that of one process."""
    return f"{CONSOLE_OF}{process:016x}" if target.is_console else target.known_as
