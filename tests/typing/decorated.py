"""Read by mypy, not run: see test_types.py. Each `reveal_type` is followed by what it must say."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator
from typing import TypeVar, reveal_type

from agentops import carry, record, span, traceparent

T = TypeVar("T")


def plain(a: int, /, b: str = "x", *rest: int, key: bool, **more: str) -> list[str]:
    raise NotImplementedError


async def coroutine(a: int) -> str:
    raise NotImplementedError


def generator(a: int) -> Iterator[str]:
    yield "x"


async def async_generator(a: int) -> AsyncIterator[str]:
    yield "x"


@span("decorated", kind="tool")
def decorated(a: int, *, key: str = "") -> list[int]:
    raise NotImplementedError


@contextlib.contextmanager
@span("manager")
def manager(a: int) -> Iterator[str]:
    yield "x"


class Shop:
    @span("method")
    def method(self, item: str) -> int:
        raise NotImplementedError

    @classmethod
    @span("class method")
    def class_method(cls, item: str) -> Shop:
        raise NotImplementedError

    @staticmethod
    @span("static method")
    def static_method(item: str) -> int:
        raise NotImplementedError

    @span("static method")
    @staticmethod
    def static_above(item: str) -> int:
        raise NotImplementedError

    @span("coroutine")
    async def coroutine(self, item: str) -> int:
        raise NotImplementedError


def generic(a: T, b: list[T]) -> T:
    raise NotImplementedError


same = span("same")
reveal_type(plain)  # the next is the same
reveal_type(same(plain))
reveal_type(coroutine)  # the next is the same
reveal_type(same(coroutine))
reveal_type(generator)  # the next is the same
reveal_type(same(generator))
reveal_type(async_generator)  # the next is the same
reveal_type(same(async_generator))
reveal_type(generic)  # the next is the same
reveal_type(same(generic))
reveal_type(plain)  # the next is the same
reveal_type(carry(plain))
reveal_type(coroutine)  # the next is the same
reveal_type(carry(coroutine))

reveal_type(decorated)  # def (a: int, *, key: str =) -> list[int]
reveal_type(manager)  # def (a: int) -> contextlib._GeneratorContextManager[str, None, None]
reveal_type(Shop().method)  # def (item: str) -> int
reveal_type(Shop.class_method)  # def (item: str) -> tests.typing.decorated.Shop
reveal_type(Shop.static_method)  # def (item: str) -> int
reveal_type(Shop.static_above)  # def (item: str) -> int
reveal_type(Shop().static_above)  # def (item: str) -> int
reveal_type(Shop().coroutine)  # def (item: str) -> typing.Coroutine[Any, Any, int]
reveal_type(traceparent())  # str


@record
def asked(messages: list[str], *, model: str = "") -> dict[str, int]:
    raise NotImplementedError


@record
async def asked_async(messages: list[str]) -> str:
    raise NotImplementedError


reveal_type(asked)  # def (messages: list[str], *, model: str =) -> dict[str, int]
reveal_type(asked_async)  # def (messages: list[str]) -> typing.Coroutine[Any, Any, str]
reveal_type(record(generator))  # def (a: int) -> typing.Iterator[str]
