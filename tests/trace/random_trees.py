"""Random programs that know the tree they make.

A program is plain data: steps, each of which does something with the steps inside of it. Running it makes spans and
notes of each what must be on record: below which it hangs, and how it ended. Which span is current is asserted before
and after every step, in whatever thread, task or generator it runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import queue
import random
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

from hypothesis import strategies as st

from agentops import carry, current_span, span, traceparent

__all__ = ["Expected", "Program", "Step", "programs"]


class Step(NamedTuple):
    """One step: what it does, and the steps in its two places."""

    does: str
    inside: list[Any]
    more: list[Any]


class Expected(NamedTuple):
    """What must be on record of a span."""

    parent: str | None
    status: str


class Boom(Exception):
    """What fails on purpose."""


class _Shuffled(asyncio.SelectorEventLoop):
    """Runs what is ready in a random order."""

    def __init__(self, order: random.Random) -> None:
        super().__init__()
        self._order = order

    def _run_once(self) -> None:
        ready: Any = self._ready  # type: ignore[attr-defined]
        shuffled = self._order.sample(list(ready), len(ready))
        ready.clear()
        ready.extend(shuffled)
        super()._run_once()  # type: ignore[misc]


class Program:
    """One run of a program.

    Args:
        steps: of its first coroutine.
        seed: of the order in which what is ready runs.
    """

    def __init__(self, steps: list[Step], seed: int) -> None:
        self._steps = steps
        self._order = random.Random(seed)
        self._lock = threading.Lock()
        self._later: list[Callable[[], None]] = []
        self._kept: list[Any] = []
        #: By the name of a span, each of which is there once.
        self.expected: dict[str, Expected] = {}
        self.traces: set[str] = set()
        #: What asyncio had to say.
        self.complaints: list[Any] = []

    def run(self) -> None:
        """Run it to its end."""
        with asyncio.Runner(loop_factory=lambda: _Shuffled(self._order)) as runner:
            runner.get_loop().set_exception_handler(lambda _, context: self.complaints.append(context))
            runner.run(self._main())
        self._kept.clear()
        for job in self._later:  # when all that it belongs to has ended
            job()
        self._check(None)

    async def _main(self) -> None:
        with self._span(None) as root:
            await self._awaited(self._steps, root)

    # -- what is noted -----------------------------------------------------------------------------

    def _name(self, parent: str | None, status: str = "ok") -> str:
        with self._lock:
            name = f"s{len(self.expected)}"
            self.expected[name] = Expected(parent, status)
        return name

    @contextlib.contextmanager
    def _span(self, parent: str | None, status: str = "ok") -> Iterator[str]:
        name = self._name(parent, status)
        with span(name):
            self._in(name)
            yield name

    def _in(self, name: str) -> None:
        found = self._check(name)
        self.traces.add(found.trace_id)

    @staticmethod
    def _check(name: str | None) -> Any:
        found = current_span()
        assert (None if found is None else found.name) == name
        return found

    # -- steps that do not wait --------------------------------------------------------------------

    def _plain(self, steps: list[Step], parent: str | None) -> None:
        for step in steps:
            self._check(parent)
            PLAIN[step.does](self, step, parent)
            self._check(parent)

    def _in_span(self, steps: list[Step], parent: str | None) -> None:
        with self._span(parent) as name:
            self._plain(steps, name)

    def span(self, step: Step, parent: str | None) -> None:
        self._in_span(step.inside, parent)
        self._in_span(step.more, parent)

    def function(self, step: Step, parent: str | None) -> None:
        name = self._name(parent)

        @span(name)
        def decorated() -> None:
            self._in(name)
            self._plain(step.inside, name)

        decorated()

    def class_method(self, step: Step, parent: str | None) -> None:
        name, program = self._name(parent), self

        class Owner:
            @span(name)
            @classmethod
            def method(cls) -> None:
                program._in(name)
                program._plain(step.inside, name)

        Owner.method()

    def fails(self, step: Step, parent: str | None) -> None:
        with contextlib.suppress(Boom), self._span(parent, "error") as name:
            self._plain(step.inside, name)
            raise Boom

    def recursion(self, step: Step, parent: str | None, depth: int = 2) -> None:
        name = self._name(parent)

        @span(name)
        def decorated() -> None:
            self._in(name)
            if depth:
                self.recursion(step, name, depth - 1)
            else:
                self._plain(step.inside, name)

        decorated()

    def exit_stack(self, step: Step, parent: str | None) -> None:
        with contextlib.ExitStack() as stack:
            outer = stack.enter_context(self._span(parent))
            stack.enter_context(contextlib.suppress(Boom))
            inner = stack.enter_context(self._span(outer, "error"))
            self._plain(step.inside, inner)
            raise Boom

    def context_manager(self, step: Step, parent: str | None) -> None:
        name = self._name(parent)

        @contextlib.contextmanager
        @span(name)
        def decorated() -> Iterator[None]:
            self._in(name)
            with self._span(name) as inner:
                yield
                self._plain(step.inside, inner)

        with decorated():
            self._check(parent)
            self._plain(step.more, parent)

    # -- generators --------------------------------------------------------------------------------

    def _numbers(self, step: Step, parent: str | None, status: str = "ok") -> Any:
        name = self._name(parent, status)

        @span(name)
        def decorated() -> Iterator[int]:
            self._in(name)
            with self._span(name, status) as inner:
                yield 1
                self._plain(step.inside, inner)
                yield 2
            self._check(name)

        running = decorated()
        next(running)
        self._check(parent)
        return running

    def generator(self, step: Step, parent: str | None) -> None:
        for _ in self._numbers(step, parent):
            self._check(parent)
            self._plain(step.more, parent)

    def generator_thrown_into(self, step: Step, parent: str | None) -> None:
        running = self._numbers(step, parent, "error")
        self._plain(step.more, parent)
        with contextlib.suppress(Boom):
            running.throw(Boom())

    def generator_closed(self, step: Step, parent: str | None) -> None:
        running = self._numbers(step, parent)
        with self._span(parent) as name:
            self._plain(step.more, name)
            running.close()
            self._check(name)

    def generator_left(self, step: Step, parent: str | None) -> None:
        circle = [self._numbers(step, parent)]
        circle.append(circle)  # found by the collector, whenever it comes, in whatever thread
        del circle
        self._plain(step.more, parent)

    def generator_moved(self, step: Step, parent: str | None) -> None:
        running = self._numbers(step, parent)

        def finish() -> None:
            self._check(None)
            assert list(running) == [2]
            self._check(None)

        self._in_thread(finish)

    # -- threads -----------------------------------------------------------------------------------

    def _in_thread(self, job: Callable[[], None]) -> None:
        failed: list[BaseException] = []

        def watched() -> None:
            try:
                job()
            except BaseException as problem:  # noqa: BLE001 - for the thread that waits
                failed.append(problem)

        thread = threading.Thread(target=watched)
        thread.start()
        thread.join()
        if failed:
            raise failed[0]

    def thread(self, step: Step, parent: str | None) -> None:
        self._in_thread(carry(functools.partial(self._plain, step.inside, parent)))

    def thread_apart(self, step: Step, parent: str | None) -> None:
        self._in_thread(functools.partial(self._in_span, step.inside, None))

    def executor(self, step: Step, parent: str | None) -> None:
        with ThreadPoolExecutor(2) as executor:
            list(executor.map(carry(self._in_span), [step.inside, step.more], [parent, parent]))

    def by_queue(self, step: Step, parent: str | None) -> None:
        jobs: queue.Queue[Callable[[], None]] = queue.Queue()
        with self._span(parent) as producer:
            jobs.put(carry(functools.partial(self._in_span, step.inside, producer)))
        with self._span(parent) as consumer:
            jobs.get()()
            self._check(consumer)

    def later(self, step: Step, parent: str | None) -> None:
        self._later.append(carry(functools.partial(self._in_span, step.inside, parent)))

    def by_traceparent(self, step: Step, parent: str | None) -> None:
        said = traceparent()

        def there() -> None:
            name = self._name(parent)
            with span(name, parent=said):
                self._in(name)
                self._plain(step.inside, name)

        self._in_thread(there)

    def entered_elsewhere(self, step: Step, parent: str | None) -> None:
        name = self._name(parent)
        made = span(name)

        def enter() -> None:
            made.__enter__()
            self._in(name)
            self._plain(step.inside, name)

        self._in_thread(carry(enter))
        made.__exit__(None, None, None)

    # -- steps that wait ---------------------------------------------------------------------------

    async def _awaited(self, steps: list[Step], parent: str | None) -> None:
        for step in steps:
            self._check(parent)
            if step.does in PLAIN:
                PLAIN[step.does](self, step, parent)
            else:
                await asyncio.sleep(0)
                await (WAITING | WAITING_FOR_PLAIN)[step.does](self, step, parent)
            self._check(parent)

    async def _awaited_in_span(self, steps: list[Step], parent: str | None) -> None:
        async with span(name := self._name(parent)):
            self._in(name)
            await asyncio.sleep(0)
            await self._awaited(steps, name)

    async def coroutine(self, step: Step, parent: str | None) -> None:
        name = self._name(parent)

        @span(name)
        async def decorated() -> None:
            self._in(name)
            await self._awaited(step.inside, name)

        await decorated()

    async def task(self, step: Step, parent: str | None) -> None:
        with self._span(parent) as name:
            task = asyncio.create_task(self._awaited_in_span(step.inside, name))
        await self._awaited(step.more, parent)
        await task

    async def gather(self, step: Step, parent: str | None) -> None:
        await asyncio.gather(*(self._awaited_in_span(steps, parent) for steps in (step.inside, step.more, [])))

    async def task_group(self, step: Step, parent: str | None) -> None:
        async with asyncio.TaskGroup() as group:
            for steps in (step.inside, step.more):
                group.create_task(self._awaited_in_span(steps, parent))

    async def _until_cancelled(self, steps: list[Step], parent: str | None, reached: asyncio.Event) -> None:
        with self._span(parent, "error") as name:
            await self._awaited(steps, name)
            reached.set()
            await asyncio.sleep(3600)

    async def task_group_fails(self, step: Step, parent: str | None) -> None:
        reached = [asyncio.Event(), asyncio.Event()]
        with contextlib.suppress(ExceptionGroup):
            async with asyncio.TaskGroup() as group:
                for steps, event in zip((step.inside, step.more), reached, strict=True):
                    group.create_task(self._until_cancelled(steps, parent, event))
                for event in reached:
                    await event.wait()
                raise Boom

    async def cancelled(self, step: Step, parent: str | None) -> None:
        reached = asyncio.Event()
        task = asyncio.create_task(self._until_cancelled(step.inside, parent, reached))
        await self._awaited(step.more, parent)
        await reached.wait()
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def timeout(self, step: Step, parent: str | None) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None) as limit:
                with self._span(parent, "error") as name:
                    await self._awaited(step.inside, name)
                    limit.reschedule(asyncio.get_running_loop().time())
                    await asyncio.sleep(3600)

    async def callback(self, step: Step, parent: str | None) -> None:
        done = asyncio.Event()

        def called() -> None:
            self._in_span(step.inside, parent)
            done.set()

        asyncio.get_running_loop().call_soon(called)
        await done.wait()

    async def to_thread(self, step: Step, parent: str | None) -> None:
        await asyncio.to_thread(self._in_span, step.inside, parent)

    async def in_executor(self, step: Step, parent: str | None) -> None:
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(None, carry(self._in_span), steps, parent) for steps in (step.inside, step.more)]
        await asyncio.gather(*jobs)

    async def by_async_queue(self, step: Step, parent: str | None) -> None:
        jobs: asyncio.Queue[Any] = asyncio.Queue()

        async def consume() -> None:
            with self._span(parent) as consumer:
                await (await jobs.get())()
                self._check(consumer)

        task = asyncio.create_task(consume())
        with self._span(parent) as producer:
            await jobs.put(functools.partial(carry(self._awaited_in_span), step.inside, producer))
        await task

    # -- async generators --------------------------------------------------------------------------

    async def _letters(
        self, step: Step, parent: str | None, status: str = "ok", closed: asyncio.Event | None = None
    ) -> Any:
        name = self._name(parent, status)

        @span(name)
        async def decorated() -> AsyncIterator[str]:
            self._in(name)
            try:
                with self._span(name, status) as inner:
                    await asyncio.sleep(0)
                    yield "a"
                    await self._awaited(step.inside, inner)
                    yield "b"
                self._check(name)
            finally:
                if closed is not None:
                    closed.set()

        running: Any = decorated()
        await anext(running)
        self._check(parent)
        return running

    async def async_generator(self, step: Step, parent: str | None) -> None:
        async for _ in await self._letters(step, parent):
            self._check(parent)
            await self._awaited(step.more, parent)

    async def async_generator_thrown_into(self, step: Step, parent: str | None) -> None:
        running = await self._letters(step, parent, "error")
        with contextlib.suppress(Boom):
            await running.athrow(Boom())

    async def async_generator_closed(self, step: Step, parent: str | None) -> None:
        async with contextlib.aclosing(await self._letters(step, parent)):
            await self._awaited(step.more, parent)

    async def async_generator_closed_in_a_task(self, step: Step, parent: str | None) -> None:
        running = await self._letters(step, parent)
        with self._span(parent) as name:
            await self._awaited(step.more, name)
            await asyncio.create_task(running.aclose())

    async def async_generator_stepped_by_tasks(self, step: Step, parent: str | None) -> None:
        running = await self._letters(step, parent)
        while (await asyncio.create_task(anext(running, None))) is not None:
            await self._awaited(step.more, parent)

    async def async_generator_left(self, step: Step, parent: str | None) -> None:
        closed = asyncio.Event()
        await self._letters(step, parent, closed=closed)
        await closed.wait()

    async def async_generator_kept(self, step: Step, parent: str | None) -> None:
        self._kept.append(await self._letters(step, parent))


PLAIN: dict[str, Callable[[Program, Step, str | None], None]] = {
    does.__name__: does
    for does in (
        Program.span, Program.function, Program.class_method, Program.fails, Program.recursion, Program.exit_stack,
        Program.context_manager, Program.generator, Program.generator_thrown_into, Program.generator_closed,
        Program.generator_left, Program.generator_moved, Program.thread, Program.thread_apart, Program.executor,
        Program.by_queue, Program.later, Program.by_traceparent, Program.entered_elsewhere,
    )
}  # fmt: skip
WAITING: dict[str, Any] = {
    does.__name__: does
    for does in (
        Program.coroutine, Program.task, Program.gather, Program.task_group, Program.task_group_fails,
        Program.cancelled, Program.timeout, Program.by_async_queue, Program.async_generator,
        Program.async_generator_thrown_into, Program.async_generator_closed, Program.async_generator_closed_in_a_task,
        Program.async_generator_stepped_by_tasks, Program.async_generator_left, Program.async_generator_kept,
    )
}  # fmt: skip
WAITING_FOR_PLAIN: dict[str, Any] = {
    does.__name__: does for does in (Program.callback, Program.to_thread, Program.in_executor)
}


def programs(depth: int = 3) -> st.SearchStrategy[list[Step]]:
    """Strategy for the steps of a program, nested at most so deep."""
    return _bodies(depth, True)


@functools.cache
def _bodies(depth: int, waits: bool) -> st.SearchStrategy[list[Step]]:
    if not depth:
        return st.just([])
    plain = _bodies(depth - 1, False)
    steps = st.builds(Step, st.sampled_from([*PLAIN, *(WAITING_FOR_PLAIN if waits else ())]), plain, plain)
    if waits:
        deeper = _bodies(depth - 1, True)
        steps |= st.builds(Step, st.sampled_from(list(WAITING)), deeper, deeper)
    return st.lists(steps, max_size=3)
