"""Going in circles: what the iterations of a loop did, and whether the last of them brought anything new.

A call is known by its tool, its arguments and its answer, all without times and ids (`agentops.volatile`). So calls
whose answers change are no circle, and neither are calls that differ in what they are about. What a model says beside
its calls is not looked at, since it finds other words each time; what a person answers begins everything anew.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

__all__ = ["Called", "Circle", "CircleKind", "Event", "Given", "History", "Person", "Result", "Said", "Turn"]

CircleKind = Literal["same_call", "alike", "cycle", "nothing_new"]

#: Cycles of more iterations than this are not looked for; without anything new they are found all the same.
PERIOD_MAX = 6
#: Iterations, and what was seen in them, that are remembered.
_TURNS_MAX, _SEEN_MAX = 240, 20_000
#: What is kept of one iteration; of one in which more happens nothing is known.
_EVENTS_MAX = 10_000
#: An answer of so many characters to a search is more than "none found"; of so many to any question, not just "done".
_TELLING, _LONG = 20, 200
#: Words of a model that are more than a label.
_MORE_THAN_A_LABEL = 60
_NAMES_MAX = 5


@dataclass(frozen=True, slots=True)
class Circle:
    """An agent goes in circles: what it does again and again.

    Attributes:
        kind: `same_call`: the same tools with the same arguments; `alike`: with arguments that differ in times and
            ids only; `cycle`: several iterations in turn; `nothing_new`: whatever is done, all of it is known.
        tools: names of what is called, in the order in which it came.
        arguments: of the latest call, as the program gave them; None if no tool was called.
        times: how often it was done by now.
        sentence: all this for people.
    """

    kind: CircleKind
    tools: tuple[str, ...]
    arguments: Any
    times: int
    sentence: str


class Called(NamedTuple):
    """A tool was called and has answered."""

    name: str
    given: bytes  # its arguments, without times and ids
    exact: bytes  # ... with them
    shape: bytes  # ... without any number
    answer: bytes
    length: int  # of the answer, in characters; -1 for an error
    searches: bool  # it looks for something, and so its answer is all that matters of it
    arguments: Any
    call_id: str | None = None  # a model asked for it, and its answer comes in messages


class Said(NamedTuple):
    """A model has said something without calling a tool."""

    words: bytes
    length: int


class Given(NamedTuple):
    """A model was given something that is neither a tool's answer nor a person's."""

    words: bytes
    shape: bytes  # without any number


class Person(NamedTuple):
    """A person has answered the agent."""

    words: bytes


class Result(NamedTuple):
    """A tool's answer came in a model's messages."""

    call_id: str | None
    answer: bytes
    length: int


Event = Called | Said | Given | Person | Result


class Turn:
    """What happened in one iteration.

    Args:
        outer: the iteration of another loop in which it happened.
    """

    __slots__ = ("asked", "events", "failure", "is_over", "outer")

    def __init__(self, outer: Turn | None = None) -> None:
        self.outer = outer
        self.events: list[Event] = []
        self.asked: list[Called] = []  # by models; a span may follow for each
        #: Type, message and traceback of what failed in it last, if nothing else ended since.
        self.failure: tuple[str, str, str] | None = None
        self.is_over = False

    def tell(self, events: Iterable[Event], asked: Iterable[Called] = ()) -> None:
        """Something happened in it, and a model asked for calls."""
        events, asked = list(events), list(asked)
        turn: Turn | None = self
        while turn is not None:
            if not turn.is_over and len(turn.events) + len(turn.asked) <= _EVENTS_MAX:
                turn.events.extend(events)
                turn.asked.extend(asked)
            turn = turn.outer

    def close(self) -> None:
        """It is over: what goes on in another thread is none of it any more."""
        self.is_over = True
        self.events, self.asked = [], []


class _Done(NamedTuple):
    """An iteration in short."""

    sign: frozenset[tuple[str, bytes, bytes]]  # what was called, or said
    exact: frozenset[tuple[str, bytes]]
    answers: frozenset[tuple[str, bytes]] | None  # if answers are all that matters of it
    shapes: frozenset[bytes]
    telling: int  # length of the shortest answer, or of the words
    names: tuple[str, ...]
    searched: bool


class History:
    """Iterations of one loop, and whether they go in circles.

    Args:
        repeats: so often the same is a circle.
        no_new: so many iterations without anything new are one.
    """

    def __init__(self, repeats: int, no_new: int) -> None:
        self._repeats, self._no_new = repeats, no_new
        self._people: set[bytes] = set()
        self._arguments: Any = None  # of the latest call
        self._with_spans: set[str] = set()  # tools that have them
        self._waiting: list[Called] | None = None  # of an iteration: the next messages have the answers
        self._sees_results = True
        self._begin()

    def _begin(self) -> None:
        self._seen: dict[object, int] = {}  # how often
        self._often = 0  # of what the iteration at hand has most often
        self._answers: dict[tuple[str, bytes], bytes] = {}  # the last one to each call
        self._done: deque[_Done] = deque(maxlen=_TURNS_MAX)
        self._quiet = self._calls_quiet = 0

    def add(self, turn: Turn) -> Circle | None:
        """An iteration is over; gives the circle that it is part of."""
        events = list(turn.events)
        if len(events) + len(turn.asked) > _EVENTS_MAX:
            self._begin()
            return None
        self._with_spans.update(event.name for event in events if isinstance(event, Called))
        known = False
        if self._waiting is not None:
            waiting, self._waiting = self._waiting, None
            known = self._take(self._answered(waiting, events), [])
        said = {event.words for event in events if isinstance(event, Person)}
        if not said <= self._people:
            self._people |= said
            self._begin()
            known = False
        calls = [event for event in events if isinstance(event, Called)]
        asked = [] if calls else [call for call in turn.asked if call.name not in self._with_spans]
        if asked and self._sees_results:
            self._waiting = asked
        else:
            known = self._take(calls or asked, events) or known
        return self._circle() if known else None

    def _answered(self, asked: list[Called], events: list[Event]) -> list[Called]:
        """The calls that a model asked for, with the answers in its next messages."""
        results = {event.call_id: event for event in events if isinstance(event, Result)}
        self._sees_results = bool(results)
        found = []
        for call in asked:
            result = results.get(call.call_id)
            found.append(call if result is None else call._replace(answer=result.answer, length=result.length))
        return found

    def _is_new(self, what: object) -> bool:
        key = type(what), what
        often = self._seen[key] = self._seen.get(key, 0) + 1
        self._often = max(self._often, often)
        if len(self._seen) > _SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return often == 1

    def _has_changed(self, name: str, given: bytes, answer: bytes) -> bool:
        """Whether the last answer to the same call was another."""
        before = self._answers.get((name, given), answer)
        self._answers[name, given] = answer
        if len(self._answers) > _SEEN_MAX:
            del self._answers[next(iter(self._answers))]
        return before != answer

    def _take(self, calls: list[Called], events: list[Event]) -> bool:
        """Note an iteration; one of which nothing is known neither helps nor hinders, and gives False."""
        said = [event for event in events if isinstance(event, Said)]
        given = [event for event in events if isinstance(event, Given)]
        if not calls and not said:
            return False
        self._often = 0
        signs = {(call.name, call.given, call.answer) for call in calls}
        if calls:
            self._arguments = calls[-1].arguments
        fresh_calls = [sign for sign in signs if self._is_new(sign) | self._has_changed(*sign)]
        of_calls = self._often
        fresh_words = [word for word in said if self._is_new(word)]
        fresh_given = [word for word in given if self._is_new(word)]
        if calls:
            self._often = of_calls
            fresh = bool(fresh_calls or fresh_words)
            self._calls_quiet = 0 if fresh_calls else self._calls_quiet + 1
            self._done.append(_of_calls(calls, signs))
        else:
            fresh = bool(fresh_words or fresh_given)
            self._done.append(_of_words(said, given))
        self._quiet = 0 if fresh else self._quiet + 1
        return True

    # -- what is a circle ------------------------------------------------------------------------------

    def _circle(self) -> Circle | None:
        for period in range(1, PERIOD_MAX + 1):
            if self._alike(period) >= period * self._repeats:
                return self._repetition(period)
        is_quiet = self._quiet >= self._no_new or self._calls_quiet >= 2 * self._no_new
        if is_quiet and self._often >= self._repeats:  # to look once more at several things is no circle
            for period in range(2, PERIOD_MAX + 1):
                if self._alike(period) >= 2 * period:
                    return self._repetition(period)
            return self._nothing_new(max(self._quiet, self._calls_quiet))
        return self._same_answers()

    def _alike(self, period: int) -> int:
        """How many of the last iterations do what the one `period` before them did, that one included."""
        done = self._done
        alike = 0
        for n in range(len(done) - 1, period - 1, -1):
            if done[n].sign != done[n - period].sign:
                break
            alike += 1
        return alike + period

    def _repetition(self, period: int) -> Circle:
        alike = self._alike(period)
        times = alike // period
        done = list(self._done)
        names = tuple(dict.fromkeys(name for one in done[-alike:] for name in one.names))
        if not names:
            return self._nothing_new(times)
        if period > 1:
            text = f"{_listed(names)} took turns {times} times, with nothing new in what was asked and answered"
            return Circle("cycle", names, self._arguments, times, text)
        same = len({one.exact for one in done[-times:]}) == 1
        how = "with the same arguments" if same else "with arguments that differ in times and ids only"
        verb = "was" if len(names) == 1 else "were"
        text = f"{_listed(names)} {verb} called {times} times {how}, and the answer was the same"
        return Circle("same_call" if same else "alike", names, self._arguments, times, text)

    def _nothing_new(self, times: int) -> Circle:
        last = list(self._done)[-times:]
        names = tuple(dict.fromkeys(name for one in last for name in one.names))
        where = f" from {_listed(names)}" if names else ": the model said the same again"
        text = f"nothing new came in {times} iterations{where}"
        return Circle("nothing_new", names, self._arguments, times, text)

    def _same_answers(self) -> Circle | None:
        """Other questions, but the same answers."""
        done = list(self._done)
        last = done[-1]
        if last.answers is None:
            return None
        times, shapes = 0, set()
        for one in reversed(done):
            if one.answers != last.answers:
                break
            times += 1
            shapes.add(one.shapes)
        if not last.names or (last.searched and last.telling >= _TELLING):
            enough = self._repeats
        elif not last.searched:
            enough = 2 * self._repeats
        elif len(shapes) > 1:
            enough = self._repeats + 1
        else:  # in vain, and what it asks differs in numbers only: it may go through the days of a month
            enough = 4 * self._repeats
        if times < enough:
            return None
        if not last.names:
            return self._nothing_new(times)
        text = f"nothing new came in {times} iterations: {_listed(last.names)} gave the same answer to each question"
        return Circle("nothing_new", last.names, self._arguments, times, text)


def _of_calls(calls: list[Called], signs: set[tuple[str, bytes, bytes]]) -> _Done:
    shortest = min(call.length for call in calls)
    searched = all(call.searches for call in calls)
    matters = shortest >= 0 and (searched or shortest >= _LONG)
    return _Done(
        frozenset(signs),
        frozenset((call.name, call.exact) for call in calls),
        frozenset((call.name, call.answer) for call in calls) if matters else None,
        frozenset(call.shape for call in calls),
        shortest,
        tuple(dict.fromkeys(call.name for call in calls)),
        searched,
    )


def _of_words(said: list[Said], given: list[Given]) -> _Done:
    words = frozenset(("", one.words) for one in said)
    length = min(one.length for one in said)
    asked = [one.words if length < _TELLING else one.shape for one in given]  # a number may be what a label is for
    return _Done(
        frozenset([*[("", one.words, b"said") for one in said], *[("", one, b"given") for one in asked]]),
        words,
        words if length >= _MORE_THAN_A_LABEL else None,
        frozenset(),
        length,
        (),
        False,
    )


def _listed(names: tuple[str, ...]) -> str:
    shown = [*names[:_NAMES_MAX], *(["others"] if len(names) > _NAMES_MAX else [])]
    return shown[0] if len(shown) == 1 else f"{', '.join(shown[:-1])} and {shown[-1]}"
