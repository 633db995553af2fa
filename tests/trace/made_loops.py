"""Made runs of agents: some go in circles, of four kinds, and some only look as if they did.

A run is a list of iterations, an iteration a list of actions: calls of tools with what they answer, and of models.
"""

from __future__ import annotations

import datetime
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from agentops import span

KINDS = ("same_call", "alike", "cycle", "nothing_new")
#: Of each kind.
MADE = 20


class Tool(NamedTuple):
    """A call of a tool. `way` is how the program records it."""

    name: str
    given: Any
    answer: Any
    way: str = "span"


class Model(NamedTuple):
    """A call of a model."""

    given: Any
    answer: Any


class Run(NamedTuple):
    """A made run: how many iterations were work, and by which iteration it has to be stopped."""

    iterations: list[list[Tool | Model]]
    work: int
    until: int


def act(actions: list[Tool | Model]) -> None:
    """Do one iteration."""
    for action in actions:
        if isinstance(action, Model):
            with span("chat", kind="llm", input=action.given) as s:
                s.output = action.answer
        elif action.way == "decorated":

            @span(action.name, kind="tool")
            def call(given: Any, answer: Any = action.answer) -> Any:
                return answer

            call(action.given)
        else:
            kind: Any = {"plain": "chain", "retrieval": "retrieval"}.get(action.way, "tool")
            try:
                with span(action.name, kind=kind, input=action.given) as s:
                    if isinstance(action.answer, Exception):
                        raise action.answer
                    s.output = action.answer
            except (ValueError, TimeoutError):
                pass


# -- in circles --------------------------------------------------------------------------------------------

_WORDS = (
    "refund", "order", "invoice", "customer", "ticket", "weather", "Zürich", "flight", "nonstop", "cheapest", "report",
    "quarterly", "naïve", "überprüfen", "発注", "請求書", "検索", "заказ", "возврат", "café", "résumé", "delivery",
    "late", "partial", "shipment", "warranty", "policy", "region", "数据", "שלום", "🙂", "plan",
)  # fmt: skip
_TOOLS = (
    "search_web", "getOrder", "read_file", "run_sql", "http_get", "list_files", "browser.open", "mcp__crm__find",
    "calculate", "lookup", "shell", "get_user_details", "天気", "fetch-url", "vector_store.query",
)  # fmt: skip
_ERRORS = (TimeoutError("no answer in 5 s"), ValueError("order 'A-17' not found"), ValueError("{'code': 500}"))


def words(rng: random.Random, least: int = 2, most: int = 7) -> str:
    return " ".join(rng.choices(_WORDS, k=rng.randint(least, most)))


def value(rng: random.Random, depth: int = 0) -> Any:
    """Any value that stands in arguments or answers."""
    choice = rng.randrange(9 if depth < 3 else 6)
    if choice < 3:
        return words(rng, 1, 12)
    if choice < 6:
        return rng.choice([rng.randint(-5, 5000), rng.random() * 100, True, None, "", rng.choice(_WORDS)])
    if choice == 6:
        return [value(rng, depth + 1) for _ in range(rng.randint(0, 5))]
    return {rng.choice(_WORDS): value(rng, depth + 1) for _ in range(rng.randint(0, 5))}


def arguments(rng: random.Random) -> dict[str, Any]:
    keys = rng.sample(["query", "path", "filters", "limit", "order", "customer_id", "expression", "url", "options"], 3)
    return {key: value(rng, 1) for key in keys}


def answer(rng: random.Random) -> Any:
    choice = rng.randrange(6)
    if choice == 0:
        return None
    if choice == 1:
        return rng.choice(_ERRORS)
    if choice == 2:
        return json.dumps(value(rng), ensure_ascii=False)
    if choice == 3:
        return words(rng, 30, 90)
    return value(rng)


def when(rng: random.Random, n: int) -> datetime.datetime:
    start = datetime.datetime(2026, 11, 25, 8, 0, 1, tzinfo=datetime.UTC)
    return start + datetime.timedelta(seconds=61 * n + rng.randint(0, 50), microseconds=rng.randint(1, 999_999))


def some_time(rng: random.Random, n: int) -> Any:
    """A moment in one of many forms."""
    moment = when(rng, n)
    if moment.second == 0:
        moment += datetime.timedelta(seconds=7)
    forms: list[Callable[[], Any]] = [
        moment.isoformat,
        lambda: moment.strftime("%Y-%m-%dT%H:%M:%SZ"),
        lambda: moment.strftime("%a, %d %b %Y %H:%M:%S GMT"),
        lambda: moment.strftime("%d.%m.%Y %H:%M:%S"),
        lambda: moment.strftime("%m/%d/%Y %I:%M:%S %p"),
        lambda: moment.strftime("%B %d, %Y at %H:%M:%S"),
        lambda: moment.strftime("%Y%m%dT%H%M%SZ"),
        lambda: moment.timestamp(),
        lambda: int(moment.timestamp()),
        lambda: str(int(moment.timestamp() * 1000)),
        lambda: int(moment.timestamp() * 1e9),
        lambda: moment,
    ]
    return rng.choice(forms)()


def some_id(rng: random.Random) -> str:
    """An id that was made for one request, in one of many forms."""
    letters = string.ascii_letters + string.digits
    hexes = f"{rng.getrandbits(128):032x}"
    forms = [
        str(uuid.UUID(int=rng.getrandbits(128))),
        str(uuid.UUID(int=rng.getrandbits(128))).upper(),
        hexes,
        hexes[:16],
        "req_" + "".join(rng.choices(letters, k=20)) + "4b",
        "call-" + hexes[:10] + "e7",
        "01J" + "".join(rng.choices("0123456789ABCDEFGHJKMNPQRSTVWXYZ", k=23)),
        f"00-{hexes}-{hexes[:16]}-01",
    ]
    return rng.choice(forms)


def with_volatile(rng: random.Random, base: dict[str, Any], plan: list[str], n: int) -> Any:
    """`base` with what differs in every call."""
    given = dict(base)
    for where in plan:
        if where == "id":
            given[rng.choice(["request_id"])] = some_id(rng)
        elif where in ("traceparent", "nonce", "idempotencyKey", "correlation_id", "uuid", "x-request-id"):
            given[where] = some_id(rng)
        elif where in ("timestamp", "ts", "requested_at", "now", "clientTime", "since"):
            given[where] = some_time(rng, n)
        elif where in ("today", "as_of"):
            given[where] = (when(rng, 0) + datetime.timedelta(days=n)).strftime(rng.choice(["%Y-%m-%d", "%d.%m.%Y"]))
        elif where in ("attempt", "retry_count", "seq"):
            given[where] = n + 1
        elif where == "nested":
            given["meta"] = {"trace": {"span_id": some_id(rng), "at": some_time(rng, n)}, "source": "agent"}
        elif where == "text":
            given["prompt"] = f"find the open orders of today ({some_id(rng)}, asked {when(rng, n).isoformat()})"
        elif where == "json":
            given["body"] = json.dumps({"q": "open orders", "requestId": some_id(rng), "ts": some_time_text(rng, n)})
    return given


def some_time_text(rng: random.Random, n: int) -> str:
    return str(some_time(rng, n))


_PLACES = (
    "id", "traceparent", "nonce", "idempotencyKey", "correlation_id", "uuid", "x-request-id", "timestamp", "ts",
    "requested_at", "now", "clientTime", "since", "today", "as_of", "attempt", "retry_count", "seq", "nested", "text",
    "json",
)  # fmt: skip


def noise(rng: random.Random, n: int) -> list[Model]:
    """A model's thoughts before a call: other words each time, in one of many forms."""
    text = words(rng, 5, 30)
    history = [{"role": "user", "content": "Help me."}, {"role": "assistant", "content": words(rng)}]
    return rng.choice(
        [
            [],
            [Model(text, words(rng, 5, 20))],
            [Model([{"role": "user", "content": text}], [{"type": "text", "text": words(rng, 5, 20)}])],
            [Model(history, {"role": "assistant", "content": words(rng, 5, 20)})],
            [Model({"messages": history, "n": n}, words(rng)), Model(text, words(rng))],
        ]
    )


def way(rng: random.Random) -> str:
    return rng.choice(["span", "span", "decorated", "plain", "retrieval"])


def beginning(rng: random.Random) -> list[list[Tool | Model]]:
    """What it did before: work, each step of it something new."""
    return [
        [*noise(rng, n), Tool(rng.choice(_TOOLS), {"n": n, "about": words(rng)}, f"{n}: {words(rng)}")]
        for n in range(rng.randint(0, 4))
    ]


def same_call(rng: random.Random) -> Run:
    before, name, given, came, how = beginning(rng), rng.choice(_TOOLS), arguments(rng), answer(rng), way(rng)
    if isinstance(came, Exception):
        how = "span"
    loop = [[*noise(rng, n), Tool(name, json.loads(json.dumps(given)), came, how)] for n in range(30)]
    return Run([*before, *loop], len(before), len(before) + 3)


def alike(rng: random.Random) -> Run:
    before, name, came = beginning(rng), rng.choice(_TOOLS), answer(rng)
    base = {"query": words(rng, 3, 6), **{key: given for key, given in arguments(rng).items() if key != "query"}}
    plan = rng.sample(_PLACES, rng.randint(1, 3))
    echo = rng.random() < 0.4 and isinstance(came, dict)
    how = "span" if isinstance(came, Exception) else way(rng)
    loop: list[list[Tool | Model]] = []
    for n in range(30):
        said = {**came, "request_id": some_id(rng), "generated_at": some_time(rng, n)} if echo else came
        loop.append([*noise(rng, n), Tool(name, with_volatile(rng, base, plan, n), said, how)])
    return Run([*before, *loop], len(before), len(before) + 3)


def cycle(rng: random.Random) -> Run:
    before, period = beginning(rng), rng.choice([2, 2, 3, 3, 4])
    names = rng.sample(_TOOLS, period)
    given = [{**arguments(rng), "step": words(rng)} for _ in names]
    came = [answer(rng) for _ in names]
    plan = rng.sample(_PLACES, 1) if rng.random() < 0.5 else []
    together = rng.random() < 0.25  # all of them in one iteration
    loop: list[list[Tool | Model]] = []
    for n in range(40):
        at = range(period) if together else [n % period]
        calls = [Tool(names[i], with_volatile(rng, {"q": "open orders", **given[i]}, plan, n), came[i]) for i in at]
        loop.append([*noise(rng, n), *calls])
    return Run([*before, *loop], len(before), len(before) + (3 if together else 3 * period))


def nothing_new(rng: random.Random) -> Run:
    before = beginning(rng)
    form = rng.randrange(5)
    loop: list[list[Tool | Model]] = []
    until = 3
    name = rng.choice(["search_web", "lookup", "vector_store.query", "find_orders", "mcp__crm__find"])
    if form == 0:  # a model says the same to the same
        text, ask = words(rng, 4, 30), words(rng, 2, 5)
        loop = [[Model([{"role": "user", "content": ask}], [{"type": "text", "text": text}])] for _ in range(30)]
    elif form == 1:  # ... or to other questions
        text = "I am sorry, I need more information before I can go on: " + words(rng, 10, 30)
        loop = [[Model(words(rng, 5, 30), {"role": "assistant", "content": text})] for _ in range(30)]
    elif form == 2:  # a search finds the same, whatever it is asked
        found = [{"title": words(rng), "text": words(rng, 10, 40)} for _ in range(rng.randint(1, 4))]
        loop = [[*noise(rng, n), Tool(name, {"query": words(rng, 2, 9)}, found)] for n in range(30)]
    elif form == 3:  # ... or nothing
        found = rng.choice([[], "", None, "no results", {"hits": [], "total": 0}])
        loop = [[*noise(rng, n), Tool(name, {"query": f"{words(rng, 2, 9)} {n}"}, found)] for n in range(30)]
        until = 4
    else:  # it reads again what it has read, in any order
        files = [(f"src/{letter}.py", words(rng, 5, 50)) for letter in "abcde"]
        first = [[Tool("read_file", {"path": path}, text)] for path, text in files]
        again = [[Tool("read_file", {"path": path}, text)] for path, text in rng.choices(files, k=30)]
        loop = [*first, *again]
        read = [path for path, _ in files]
        for n, [tool] in enumerate(again):
            read.append(tool.given["path"])
            if n >= 2 and read.count(read[-1]) > 2:
                until = len(read)
                break
    return Run([*before, *loop], len(before), len(before) + until)


def made(kind: str, count: int = MADE) -> Iterator[Run]:
    """The made loops of one kind."""
    make = {"same_call": same_call, "alike": alike, "cycle": cycle, "nothing_new": nothing_new}[kind]
    for n in range(count):
        yield make(random.Random(f"{kind} {n}"))


# -- at work -----------------------------------------------------------------------------------------------


def _orders() -> Iterator[str]:
    rng = random.Random(7)
    while True:
        yield str(uuid.UUID(int=rng.getrandbits(128)))


def _chat(n: int, question: str) -> list[Tool | Model]:
    history = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "How can I help?"}] * n
    return [
        Model([*history, {"role": "user", "content": question}], "Let me look."),
        Tool("get_status", {"user": "u-4"}, "active"),
    ]


def healthy() -> dict[str, list[list[Tool | Model]]]:
    """Runs of agents at work that look like circles, by what they do."""
    rng = random.Random(11)
    ids = _orders()
    test = Tool("run_tests", {"path": "tests"}, "3 failed, 10 passed in 0.52s: " + "x" * 300)
    screen = Tool("screenshot", {}, b"\x89PNG the same picture" * 20)
    status = Tool("git", ["status"], "nothing to commit, working tree clean")
    pending: list[Any] = ["pending", "pending", "running", "running", "done"]
    runs: dict[str, list[list[Tool | Model]]] = {
        "pages": [[Tool("list_orders", {"page": n}, [f"order {n}-{i}" for i in range(5)])] for n in range(12)],
        "offsets": [[Tool("read_file", {"path": "log", "offset": 100 * n}, words(rng, 9, 20))] for n in range(12)],
        "pages of a search": [
            [Tool("search", {"q": "open", "page": n}, {"hits": [words(rng)], "page": n})] for n in range(12)
        ],
        "polling, progress": [
            [Tool("get_job", {"job_id": "j-1"}, {"state": "running", "progress": 10 * n})] for n in range(10)
        ],
        "polling, states": [[Tool("get_job", {"job_id": "j-1"}, {"state": state})] for state in pending],
        "retries that succeed": [
            [Tool("pay", {"order": 7}, TimeoutError("no answer"))],
            [Tool("pay", {"order": 7}, TimeoutError("no answer"))],
            [Tool("pay", {"order": 7}, "paid")],
            [Tool("ship", {"order": 7}, "shipped")],
        ],
        "items by number": [[Tool("fetch", {"order": 1001 + n}, {"id": 1001 + n, "sum": n * 7})] for n in range(12)],
        "items by number, same state": [
            [Tool("fetch", {"order_id": 1001 + n}, {"id": 1001 + n, "state": "shipped"})] for n in range(12)
        ],
        "items by uuid, same state": [
            [Tool("fetch_order", {"order_id": key}, {"id": key, "state": "shipped"})]
            for key in [next(ids) for _ in range(12)]
        ],
        "items by uuid, done": [[Tool("mark_done", {"id": next(ids)}, "ok")] for _ in range(12)],
        "items by uuid, with a state": [
            [Tool("update", {"order_id": next(ids), "state": "shipped"}, {"ok": True})] for _ in range(12)
        ],
        "items by url": [[Tool("http_get", f"https://shop.example/orders/{next(ids)}", "404")] for _ in range(12)],
        "items as plain ids": [[Tool("delete", next(ids), None)] for _ in range(12)],
        "commits": [[Tool("git_show", {"sha": next(ids)[:8]}, "ok")] for _ in range(12)],
        "writing files": [
            [Tool("write_file", {"path": f"src/{w}.py", "content": words(rng)}, "ok")] for w in "abcdefghij"
        ],
        "writing one file": [
            [Tool("write_file", {"path": "a.py", "content": f"x = {n}"}, "written")] for n in range(12)
        ],
        "mails": [[Tool("send_mail", {"to": f"{w}@example.com", "text": "Hello"}, {"sent": True})] for w in "abcdefgh"],
        "editing and testing": [
            [Tool("edit", {"old": words(rng), "new": words(rng)}, "ok"), test] for _ in range(12)
        ],
        "editing, then testing": [
            [test] if n % 2 else [Tool("edit", {"old": words(rng), "new": words(rng)}, "ok")] for n in range(14)
        ],
        "clicks before the same picture": [[Tool("click", {"x": n, "y": 3 * n}, None), screen] for n in range(12)],
        "commits between": [[status] if n % 2 else [Tool("git", ["commit", words(rng)], "ok")] for n in range(14)],
        "days of a calendar": [
            [Tool("check_availability", {"date": f"2026-12-{n:02}", "people": 2}, [])] for n in range(1, 25)
        ],
        "slots of a day": [
            [Tool("book", {"start": f"2026-12-01T{n:02}:00:00Z", "what": "a room for six"}, "taken")]
            for n in range(8, 20)
        ],
        "a person asks again": [_chat(n, words(rng, 3, 9)) for n in range(1, 9)],
        "thinking between failures": [
            [Tool("think", {"thought": words(rng, 10, 20)}, "")] if n % 2 else [Tool("book", {"seats": 2}, "full")]
            for n in range(6)
        ],
        "labels by a model": [
            [Model([{"role": "user", "content": f"Is this good? {words(rng, 9, 20)}"}], "yes")] for _ in range(12)
        ],
        "a text in parts": [
            [Model([{"role": "user", "content": "Go on."}], words(rng, 20, 40))] for _ in range(12)
        ],
        "statements": [[Tool("sql", f"UPDATE t SET a = 1 WHERE name = '{w}'", "1 row")] for w in "abcdefghijkl"],
        "sums": [[Tool("calculate", {"expression": f"{n} - {n}"}, "0")] for n in range(12)],
        "one generator": [[Tool("next_task", {}, f"task {n}")] for n in range(12)],
        "dice": [[Tool("roll", {"sides": 6}, side)] for side in (3, 1, 6, 6, 2, 3, 5, 4, 1, 2, 6, 5)],
        "two searches in vain": [
            [Tool("search", {"q": "refund"}, [])],
            [Tool("search", {"q": "money back"}, [])],
            [Tool("search", {"q": "return"}, ["Refunds take five days."])],
            [Tool("search", {"q": "how long"}, ["Five days from the day on which it arrived."])],
        ],
        "waiting between": [
            [Tool("wait", {"seconds": 5}, None), Tool("get_job", {"id": "j-1"}, f"{n} of 9 done")] for n in range(9)
        ],
        "parts of an upload": [[Tool("upload", {"key": "k", "part": n}, {"etag": next(ids)})] for n in range(9)],
        "jobs from a queue": [[Tool("next_job", {}, f"got job {next(ids)[:8]}, 2 parts")] for _ in range(9)],
        "a counter": [[Tool("next", {}, {"counter": n})] for n in range(9)],
        "events in order": [[Tool("next_event", {}, {"seq": n, "type": "tick"})] for n in range(9)],
        "times of a plan": [
            [Tool("next_train", {"to": "Zürich"}, f"the next one is 2026-11-25 {n}:30 from 4")] for n in range(9)
        ],
        "calls of people": [[Tool("phone", f"call 030 55512{n}", "no answer")] for n in range(9)],
        "new things": [[Tool("create", {"kind": "note"}, {"uuid": next(ids)})] for _ in range(9)],
        "ids of a generator": [[Tool("new_id", {}, next(ids))] for _ in range(9)],
        "tables of an evening": [
            [Tool("find_table", {"time": f"{18 + n // 4}:{n % 4 * 15:02}", "people": 2}, None)] for n in range(10)
        ],
        "mails of a person": [[Tool("archive", {"user": "me", "id": next(ids)}, None)] for _ in range(9)],
        "nothing to see": [[] for _ in range(30)],
        "reading again after writing": [
            [Tool("append", {"line": words(rng)}, "ok"), Tool("read", {"path": "notes"}, words(rng, 5, 9))]
            for _ in range(9)
        ],
    }  # fmt: skip
    return runs
