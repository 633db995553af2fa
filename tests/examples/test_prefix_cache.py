"""The provider's prompt cache, as the usage of the real client's answers tells it."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Barrier, Thread
from typing import Any

import anthropic
import httpx2
import pytest

from examples.stand_in import PrefixCache, Reply, Request, StandIn, Text

MODEL = "claude-sonnet-5"  # keeps prefixes of 1,024 tokens and more
SHORT: Any = {"type": "ephemeral"}
LONG: Any = {"type": "ephemeral", "ttl": "1h"}


class Clock:
    now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


class Provider:
    def __init__(self, client: anthropic.Anthropic, clock: Clock, server: StandIn) -> None:
        self.client, self.clock, self.server = client, clock, server

    def ask(self, **asked: Any) -> tuple[int, int, int, int]:
        """Fresh, read, written for five minutes, written for an hour."""
        usage = self.client.messages.create(**{"model": MODEL, "max_tokens": 64, "messages": says("hi"), **asked}).usage
        assert usage.cache_creation is not None
        written = (usage.cache_creation.ephemeral_5m_input_tokens, usage.cache_creation.ephemeral_1h_input_tokens)
        assert sum(written) == usage.cache_creation_input_tokens
        return usage.input_tokens, usage.cache_read_input_tokens or 0, *written


@pytest.fixture
def provider() -> Iterator[Provider]:
    clock = Clock()
    with StandIn(lambda request: Reply((Text("yes"),)), cache=PrefixCache(clock=clock)) as server:
        http = httpx2.Client(trust_env=False)
        options: Any = {"base_url": server.url, "api_key": "any", "open_telemetry": False, "http_client": http}
        with anthropic.Anthropic(max_retries=0, **options) as client:
            yield Provider(client, clock, server)


def text(words: str, mark: Any = None) -> dict[str, Any]:
    return {"type": "text", "text": words} | ({"cache_control": mark} if mark else {})


def long(name: str, mark: Any = None) -> dict[str, Any]:
    """A block of some 1,250 tokens."""
    return text(name * (5_000 // len(name)), mark)


def says(*blocks: Any) -> list[Any]:
    return [{"role": "user", "content": [text(block) if isinstance(block, str) else block for block in blocks]}]


def tool(name: str, description: str = "", mark: Any = None) -> dict[str, Any]:
    made = {"name": name, "description": description, "input_schema": {"type": "object", "properties": {}}}
    return made | ({"cache_control": mark} if mark else {})


def test_without_a_breakpoint_nothing_is_kept(provider: Provider) -> None:
    first = provider.ask(system=[long("a")])
    assert first[1:] == (0, 0, 0)
    assert provider.ask(system=[long("a")]) == first


def test_a_prefix_is_written_once_and_then_read(provider: Provider) -> None:
    fresh, read, written, _ = provider.ask(system=[long("a", SHORT)])
    assert (read, written > 1_200, fresh < 30) == (0, True, True)
    assert provider.ask(system=[long("a", SHORT)]) == (fresh, written, 0, 0)
    assert provider.ask(system=[long("b", SHORT)])[1] == 0
    assert provider.ask(system=[long("a", SHORT)], model="claude-opus-4-8")[1] == 0


def test_what_is_fresh_read_and_written_is_the_whole_prompt(provider: Provider) -> None:
    asked = {"system": [long("a", SHORT)], "messages": says(long("m", SHORT), "and?"), "tools": [tool("t")]}
    whole = provider.client.messages.count_tokens(model=MODEL, **asked).input_tokens  # type: ignore[arg-type]
    assert sum(provider.ask(**asked)) == whole == sum(provider.ask(**asked))


@pytest.mark.parametrize(
    ("model", "least"), [("claude-opus-5", 512), ("claude-sonnet-5", 1024), ("claude-haiku-4-5", 4096)]
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_model_keeps_no_prefix_that_is_too_short(provider: Provider, model: str, least: int) -> None:
    for more, is_kept in ((-60, False), (60, True)):
        system = [text("a" * 4 * (least + more), SHORT)]
        assert (sum(provider.ask(model=model, system=system)[2:]) > 0) is is_kept


def test_a_conversation_reads_what_its_last_turn_wrote(provider: Provider) -> None:
    messages = says(long("m"))
    written = 0
    for turn in range(4):
        _, read, new, _ = provider.ask(messages=messages, cache_control=SHORT)
        assert read == written
        written += new
        messages += [{"role": "assistant", "content": "yes"}, *says(f"and {turn}?")]


@pytest.mark.parametrize(("blocks", "is_found"), [(19, True), (20, False)])
def test_a_breakpoint_looks_back_over_twenty_blocks(provider: Provider, blocks: int, is_found: bool) -> None:
    provider.ask(messages=says(long("m", SHORT)))
    more = [text(f"block {n}") for n in range(blocks)]
    more[-1]["cache_control"] = SHORT
    assert (provider.ask(messages=says(long("m"), *more))[1] > 0) is is_found


@pytest.mark.parametrize(("mark", "lifetime_s"), [(SHORT, 300), (LONG, 3600)])
def test_what_is_read_lives_on(provider: Provider, mark: Any, lifetime_s: float) -> None:
    system = [long("a", mark)]
    provider.ask(system=system)
    for _ in range(3):
        provider.clock.now_s += lifetime_s - 1
        assert provider.ask(system=system)[1] > 0
    provider.clock.now_s += lifetime_s
    assert provider.ask(system=system)[1] == 0


def test_two_lifetimes_are_billed_apart(provider: Provider) -> None:
    asked: Any = {"system": [long("a", LONG)], "messages": says(long("m", SHORT))}
    fresh, read, short, hour = provider.ask(**asked)
    assert (read, fresh) == (0, 0)
    assert (short > 1_200, hour > 1_200) == (True, True)
    provider.clock.now_s += 400
    assert provider.ask(**asked) == (0, hour, short, 0)


def test_the_order_is_tools_system_messages(provider: Provider) -> None:
    asked: Any = {"tools": [tool("t", "x" * 5_000, SHORT)], "system": [long("a", SHORT)]}
    messages = says(long("m", SHORT))
    whole = sum(provider.ask(**asked, messages=messages)[2:])
    assert provider.ask(**asked, messages=messages)[1] == whole
    changed = provider.ask(**asked, messages=says(long("n", SHORT)))[1]
    system = provider.ask(**{**asked, "system": [long("b", SHORT)]}, messages=messages)[1]
    assert whole > changed > system > 1_200
    assert provider.ask(**{**asked, "tools": [tool("u", "x" * 5_000, SHORT)]}, messages=messages)[1] == 0


@pytest.mark.parametrize(
    ("more", "survives"),
    [
        ({"tool_choice": {"type": "any"}}, "system"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1_024}}, "system"),
        ({"extra_body": {"speed": "fast"}}, "tools"),
        ({"stop_sequences": ["END"]}, "messages"),
        ({"metadata": {"user_id": "u"}}, "messages"),
    ],
    ids=str,
)
def test_parameters_that_are_part_of_the_prompt(provider: Provider, more: Any, survives: str) -> None:
    asked: Any = {"tools": [tool("t", "x" * 5_000, SHORT)], "system": [long("a", SHORT)]}
    asked["messages"] = says(long("m", SHORT))
    whole = sum(provider.ask(**asked)[2:])
    share = {"tools": (0.2, 0.4), "system": (0.5, 0.8), "messages": (1, 1)}[survives]
    assert share[0] * whole <= provider.ask(**asked, **more)[1] <= share[1] * whole


def test_keys_that_the_caller_orders_are_part_of_the_prompt(provider: Provider) -> None:
    def with_input(given: dict[str, int]) -> list[Any]:
        call = {"type": "tool_use", "id": "toolu_1", "name": "t", "input": given}
        result = {"type": "tool_result", "tool_use_id": "toolu_1", "content": [long("r", SHORT)]}
        result["cache_control"] = SHORT
        return [*says("go"), {"role": "assistant", "content": [call]}, {"role": "user", "content": [result]}]

    def ask(given: dict[str, int]) -> int:
        return provider.ask(messages=with_input(given), tools=[tool("t")])[1]

    assert ask({"a": 1, "b": 2}) == 0
    assert ask({"b": 2, "a": 1}) == 0
    assert ask({"a": 1, "b": 2}) > 1_200


def test_a_prefix_is_found_once_the_answer_has_begun(provider: Provider) -> None:
    all_here = Barrier(3, timeout=10)

    def script(request: Request) -> Reply:
        return Reply((Text("yes"),), delay_s=0.2)

    with StandIn(script) as server:
        options: Any = {"base_url": server.url, "api_key": "any", "open_telemetry": False}
        with anthropic.Anthropic(http_client=httpx2.Client(trust_env=False), **options) as client:
            read: list[Any] = []

            def ask(meet: bool = True) -> None:
                if meet:
                    all_here.wait()
                answer = client.messages.create(
                    model=MODEL,
                    max_tokens=9,
                    system=[long("a", SHORT)],
                    messages=says("hi"),  # type: ignore[list-item]
                )
                read.append(answer.usage.cache_read_input_tokens)

            threads = [Thread(target=ask) for _ in range(3)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert read == [0, 0, 0]
            ask(meet=False)
            assert read[-1] > 1_200


UNSOUND = {
    "kind": ({"system": [text("a", {"type": "persistent"})]}, "ephemeral"),
    "lifetime": ({"system": [text("a", {"type": "ephemeral", "ttl": "2h"})]}, "ttl"),
    "five": ({"system": [text("a", SHORT)] * 5}, "maximum of 4"),
    "order": ({"system": [text("a", SHORT)], "messages": says(text("b", LONG))}, "must not come after"),
    "thinking": (
        {
            "messages": [
                *says("hi"),
                {
                    "role": "assistant",
                    "content": [{"type": "thinking", "thinking": "x", "signature": "s", "cache_control": SHORT}],
                },
                *says("and?"),
            ]
        },
        "thinking",
    ),
    "empty": ({"system": [text("", SHORT)]}, "empty text"),
}


@pytest.mark.parametrize(("asked", "complaint"), UNSOUND.values(), ids=UNSOUND)
def test_unsound_breakpoints_are_refused(provider: Provider, asked: Any, complaint: str) -> None:
    with pytest.raises(anthropic.BadRequestError, match=complaint):
        provider.ask(**asked)
