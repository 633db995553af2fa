"""`for step in loop("solve", max_iterations=8)`: a span an iteration; ends at limits, and where it goes in circles."""

from __future__ import annotations

import functools
import inspect
import math
import opcode
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from types import CodeType, FrameType
from typing import Any, Literal, NamedTuple

from opentelemetry.trace import StatusCode
from opentelemetry.trace.propagation import _SPAN_KEY

from agentops import conventions
from agentops.errors import UsageError
from agentops.recorder.recorder import recorder
from agentops.safety import failed
from agentops.trace.circles import Circle, History, Turn
from agentops.trace.facts import described
from agentops.trace.inside import Watch, is_below_whole
from agentops.trace.span import OUR_KEY, ROOT_KEY, Span, _current

__all__ = ["Loop", "OnCircle", "Step", "Stopped"]

Stopped = Literal["max_iterations", "max_seconds", "circle"]
OnCircle = Literal["stop", "flag"] | Callable[[Circle], object]


class Step(Span):
    """One iteration: a span that is current in the loop's body, with the number of the iteration.

    Attributes:
        number: of the iteration, from 1.
    """

    def __init__(self, name: str, number: int) -> None:
        super().__init__(name, kind="loop", attributes={conventions.LOOP_ITERATION: number})
        self.number = number
        self._turn = Turn()

    def _start(self) -> None:
        self.__enter__()
        outer = self._watch
        self._turn.outer = None if outer is None or is_below_whole(self._parent) else outer.turn
        self._watch = Watch(self._turn)

    def _finish(self) -> None:
        _leave(self)
        self._watch = None
        self._turn.close()


class Loop:
    """The iterations of an agent's loop, for `for` and `async for`.

    Each iteration is a span of kind loop, current inside of the body, with what the body does below it. Where there is
    no span above, the loop is a run of its own, a span of kind agent. It ends by itself at its limits and where the
    agent goes in circles:

    - the same tools with the same arguments and the same answers, again and again;
    - the same but for times and ids (`request_id`, `timestamp`, uuids, numbers of attempts);
    - several iterations in turn, A-B-A-B;
    - nothing new: what is asked and answered is known already, or a search finds the same whatever it is asked.

    It looks at spans inside of the body: of tools (and functions decorated with `@span`), of models, and at what models
    ask for in their messages. An answer that changes is something new, and so is what a person says. To ask a slow job
    for its state until that changes is a circle too: say by `repeats` how long that may take, or `on_circle="flag"`.

    Args:
        name: what its spans are called; short, without ids.
        max_iterations: it ends after so many.
        max_seconds: it begins no further iteration after so many seconds since its first.
        on_circle: "stop" begins no further iteration; "flag" only says on the span that there is a circle; a function
            gets the `Circle` after each iteration that is part of one, and stops the loop if it returns something true.
            What it raises comes out of the loop.
        repeats: so often the same is a circle; at least 2.
        no_new: so many iterations in a row in which nothing at all is new are a circle; at least 2.

    Raises:
        UsageError: a limit that is none.
    """

    def __init__(
        self,
        name: str,
        *,
        max_iterations: int | None = None,
        max_seconds: float | None = None,
        on_circle: OnCircle = "stop",
        repeats: int = 3,
        no_new: int = 3,
    ) -> None:
        _check_count("max_iterations", max_iterations, 0)
        _check_count("repeats", repeats, 2)
        _check_count("no_new", no_new, 2)
        _check_seconds(max_seconds)
        if not (callable(on_circle) or on_circle in ("stop", "flag")):
            raise UsageError(f'on_circle is "stop", "flag" or a function, not {on_circle!r}')
        if inspect.iscoroutinefunction(on_circle):
            raise UsageError("on_circle is called between two iterations and cannot be a coroutine function")
        self.name = name
        self.max_iterations = max_iterations
        self.max_seconds = max_seconds
        self.on_circle = on_circle
        self._thresholds = (repeats, no_new)
        self._state = _State()  # of the latest way through it

    @property
    def iterations(self) -> int:
        """How many have begun."""
        return self._state.iterations

    @property
    def stopped(self) -> Stopped | None:
        """Why it has ended; None while it runs, and if the program left it."""
        return self._state.stopped

    @property
    def reason(self) -> str | None:
        """Why it has ended, as a sentence."""
        return self._state.reason

    @property
    def circle(self) -> Circle | None:
        """The last circle that was found, stopped for or not."""
        return self._state.circle

    def __iter__(self) -> Iterator[Step]:
        self._state = _State()
        return _Steps(self, self._state)

    def __aiter__(self) -> AsyncIterator[Step]:
        self._state = _State()
        return _AsyncSteps(self, self._state)

    def __repr__(self) -> str:
        return f"<agentops.Loop {self.name!r} {self.iterations} iterations, {self.stopped or 'not stopped'}>"


class _State:
    """How far one way through a loop has come."""

    iterations = 0
    stopped: Stopped | None = None
    reason: str | None = None
    circle: Circle | None = None


class _Run:
    """One way through a loop. The `for` statement alone holds it, so it goes when that is left, however that is."""

    def __init__(self, loop: Loop, state: _State) -> None:
        self._loop = loop
        self._state = state
        self._history = History(*loop._thresholds)
        self._around: Span | None = None  # where there is nothing else above
        self._step: Step | None = None
        self._started_s = 0.0
        self._user: CodeType | None = None  # where the `for` stands

    def _next(self, caller: FrameType) -> Step | None:
        """End the iteration that is open and begin the next one; None if there is none."""
        state, step = self._state, self._step
        if state.stopped is not None:
            return None
        if step is None:
            self._started_s = time.monotonic()
            is_for = _place(caller.f_code, caller.f_lasti).operation in _ITERATES
            self._user = caller.f_code if is_for else None
        try:
            stopped = self._stopped_by(step)
        except BaseException as problem:  # of the user's function
            for span in self._open():
                span.fail(problem)
            self.close()
            raise
        if stopped:
            self.close()
            return None
        if step is not None:
            step._finish()
        elif _is_alone():
            self._around = Span(self._loop.name, kind="agent").__enter__()
        state.iterations += 1
        self._step = step = Step(self._loop.name, state.iterations)
        step._start()
        return step

    def _open(self) -> list[Span]:
        return [span for span in (self._step, self._around) if span is not None]

    def _stopped_by(self, step: Step | None) -> bool:
        """Whether there is no other iteration after `step`; says why on the spans."""
        loop, count = self._loop, self._state.iterations
        took = time.monotonic() - self._started_s
        if step is not None and self._circles(step):
            return True
        if count == loop.max_iterations:
            return self._stop("max_iterations", f"it has made all of its {count} iteration{'s' * (count != 1)}")
        if step is not None and loop.max_seconds is not None and took >= loop.max_seconds:
            return self._stop("max_seconds", f"it has run for {took:.3g} of {loop.max_seconds:g} seconds")
        return False

    def _circles(self, step: Step) -> bool:
        """Whether it stops because of a circle; says on the span that there is one."""
        circle = self._circle(step)
        if circle is None:
            return False
        self._state.circle = circle
        step.set_attribute(conventions.LOOP_CIRCLE, circle.kind)
        step.set_attribute(conventions.LOOP_REASON, circle.sentence)
        step.add_event("circle", {"kind": circle.kind, "times": circle.times, "reason": circle.sentence})
        react = self._loop.on_circle
        stops = react(circle) if callable(react) else react == "stop"
        return bool(stops) and self._stop("circle", circle.sentence)

    def _circle(self, step: Step) -> Circle | None:
        try:
            if step._watch is not None:
                step._watch.tell_own(step)
            return self._history.add(step._turn)
        except Exception as problem:  # noqa: BLE001
            failed("looking for circles", problem, lost=0)
            return None

    def _stop(self, stopped: Stopped, reason: str) -> Literal[True]:
        self._state.stopped, self._state.reason = stopped, reason
        for span in self._open():
            span.set_attribute(conventions.LOOP_STOPPED, stopped)
            span.set_attribute(conventions.LOOP_REASON, reason)
            span.add_event("loop stopped", {"by": stopped, "reason": reason})
        return True

    def close(self) -> None:
        """End the iteration that is open; nothing more comes."""
        step, around = self._step, self._around
        self._step = self._around = None
        if step is not None:
            step._finish()
        if around is not None:
            _leave(around)

    def __del__(self) -> None:
        if self._step is not None:
            try:
                caller = sys._getframe(1)
                place = _place(caller.f_code, caller.f_lasti)
                if self._user is not None and _is_raising(self._user, place):
                    _fail(self._step, self._around, place)
                self.close()
            except Exception as problem:  # noqa: BLE001
                failed("ending a loop", problem)


class _Steps(_Run):
    def __iter__(self) -> Iterator[Step]:
        return self

    def __next__(self) -> Step:
        step = self._next(sys._getframe(1))
        if step is None:
            raise StopIteration
        return step


class _AsyncSteps(_Run):
    def __aiter__(self) -> AsyncIterator[Step]:
        return self

    async def __anext__(self) -> Step:
        step = self._next(sys._getframe(1))
        if step is None:
            raise StopAsyncIteration
        return step


# -- how a loop was left -----------------------------------------------------------------------------------

# An iterator is not told of an exception in the body. It goes when the body is left, and where the interpreter stands
# then tells a `break` or a `return`, which take it off the stack, from anything else. Which exception it was, the span
# above hears if the exception comes so far: it is the one that passed through that place.
_ITERATES = frozenset(("FOR_ITER", "SEND", "GET_ANEXT"))
_LEAVES = frozenset(
    ("POP_TOP", "POP_ITER", "FOR_ITER", "END_FOR", "END_ASYNC_FOR", "RETURN_VALUE", "RETURN_CONST", "RETURN_GENERATOR")
)
_GENERATES = inspect.CO_GENERATOR | inspect.CO_ASYNC_GENERATOR
#: So many exceptions that were raised while others were handled are looked at.
_CHAIN_MAX = 20


class _Place(NamedTuple):
    """An instruction of the program's."""

    code: CodeType
    at: int

    @property
    def operation(self) -> str:
        return opcode.opname[self.code.co_code[self.at]]

    def is_in(self, exception: BaseException) -> bool:
        """Whether `exception` passed through it."""
        trace = exception.__traceback__
        while trace is not None:
            if trace.tb_frame.f_code is self.code and _place(self.code, trace.tb_lasti).at == self.at:
                return True
            trace = trace.tb_next
        return False


def _place(code: CodeType, at: int) -> _Place:
    operations = code.co_code
    while at > 0 and opcode.opname[operations[at]] == "CACHE":  # room behind an instruction, where Python 3.12 stands
        at -= 2
    return _Place(code, max(at, 0))


def _is_raising(user: CodeType, place: _Place) -> bool:
    """Whether the code with the `for` statement leaves it by an exception."""
    if place.code is not user:
        return False
    operation = place.operation
    if user.co_flags & _GENERATES and operation in ("YIELD_VALUE", "RESUME"):
        return False  # the generator is closed
    return operation not in _LEAVES and not operation.startswith(("STORE_", "DELETE_"))


def _fail(step: Step, around: Span | None, place: _Place) -> None:
    """An exception left the iteration: the one that ended the last span in it, if it was that."""
    kind, message, stack = step._turn.failure or ("", "left by an exception", "")
    for span in (step, around):
        if span is not None:
            span._error = (kind, message, stack)
            span.set_status(StatusCode.ERROR, f"{kind}: {message}" if kind else message)
    if step._turn.failure is None and step._parent is not None:
        step._parent._left = functools.partial(_amend, step, place)


def _amend(step: Step, place: _Place, exception: BaseException | None) -> None:
    """The span above ends by `exception`: say so of the step too, if that one or one before it left the loop."""
    above = exception
    for _ in range(_CHAIN_MAX):
        if exception is None or place.is_in(exception):
            break
        exception = exception.__cause__ or exception.__context__
    if exception is None or step._epoch != recorder.know_yourself():
        return
    step._error = described(exception)
    step._write_end(step._end_ns, None)
    if step._left is not None and above is not None:
        step._left(above)


def _leave(span: Span) -> None:
    """End it, and make what was current before it current again; elsewhere it is not current any more."""
    if not span._ended:
        if not _is_below(span, _current().get(OUR_KEY)):
            span._token = None
        span.__exit__()


def _is_alone() -> bool:
    """Whether a span that begins here would be the first of its trace."""
    context = _current()
    return recorder.root is None and not any(context.get(key) for key in (_SPAN_KEY, OUR_KEY, ROOT_KEY))


def _is_below(step: Span, span: Any) -> bool:
    """Whether `span` is `step` or stands somewhere below it."""
    while isinstance(span, Span):
        if span is step:
            return True
        span = span._parent
    return False


def _check_count(name: str, value: object, least: int) -> None:
    if value is None and name == "max_iterations":
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is a whole number, {least} or more, not {value!r}")


def _check_seconds(value: object) -> None:
    if value is None:
        return
    if not isinstance(value, (int, float)) or isinstance(value, bool) or math.isnan(value) or value < 0:
        raise UsageError(f"max_seconds is a number, 0 or more, not {value!r}")
