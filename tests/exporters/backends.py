"""Phoenix and MLflow as real servers, and what went into them as plain facts to compare with."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What pip installs for each backend, one call an entry. MLflow's own package names a smaller one of its version that
#: the package index may not have yet; it brings in nothing but what it needs, so the one before does.
PACKAGES = {
    "phoenix": [["arize-phoenix==20.26.1"]],
    "mlflow": [["mlflow==3.17.2"], ["--no-deps", "mlflow==3.18.0"]],
}


@contextmanager
def environment(name: str, folder: Path) -> Iterator[Path]:
    """A virtual environment with the backend `name`: its folder of programs. It takes minutes, and almost 1 GB.

    AGENTOPS_BACKENDS names a folder in which it is kept for the next time.
    """
    kept = os.environ.get("AGENTOPS_BACKENDS")
    place = Path(kept or folder) / name
    done = place / "installed"
    if not done.exists():
        shutil.rmtree(place, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
        for packages in PACKAGES[name]:
            command = [str(place / "bin" / "pip"), "install", "--quiet", "--no-input", *packages]
            subprocess.run(command, check=True, timeout=1200)
        done.touch()
    try:
        yield place / "bin"
    finally:
        if not kept:
            shutil.rmtree(place, ignore_errors=True)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def server(command: list[str], folder: Path, health: str, **environment: str) -> Iterator[None]:
    """Runs a server until the block ends; it is entered when `health` answers."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AGENTOPS_", "OTEL_", "PHOENIX_", "MLFLOW_"))}
    log = folder / "server.log"
    with log.open("w") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, **environment, "DO_NOT_TRACK": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: process.poll() is not None or answers(health), 180)
        assert process.poll() is None, log.read_text()[-3000:]
        yield
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.2)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def ask(url: str, body: Any = None) -> Any:
    """The JSON that a server answers to a GET, or to a POST of `body`."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            return json.load(response)
    except urllib.error.HTTPError as problem:
        raise AssertionError(f"{url}: {problem.code} {problem.read()[:500]!r}") from problem


class Compared:
    """Counts what was compared, and keeps what differed."""

    def __init__(self) -> None:
        self.count = 0
        self.different: list[str] = []

    def equal(self, what: str, theirs: Any, ours: Any) -> None:
        self.count += 1
        if theirs != ours:
            self.different.append(f"{what}: {str(theirs)[:150]!r} and not {str(ours)[:150]!r}")


# -- conversations -----------------------------------------------------------------------------------

Said = tuple[str, list[str], list[tuple[str, Any]], list[tuple[str | None, Any]]]


def said(messages: list[dict[str, Any]]) -> list[Said]:
    """Messages of Anthropic's or OpenAI's API as (role, texts, calls of tools, answers of tools)."""
    found: list[Said] = []
    for message in messages:
        content = message.get("content")
        blocks = content if isinstance(content, list) else [{"type": "text", "text": content}] if content else []
        texts = [block["text"] for block in blocks if block["type"] == "text"]
        calls = [(block["name"], block["input"]) for block in blocks if block["type"] == "tool_use"]
        for call in message.get("tool_calls") or ():
            calls.append((call["function"]["name"], json.loads(call["function"]["arguments"])))
        if message["role"] == "tool":
            found.append(("tool", [], [], [(message.get("tool_call_id"), content)]))
            continue
        for block in blocks:
            if block["type"] == "tool_result":
                found.append(("tool", [], [], [(block["tool_use_id"], block["content"])]))
        if texts or calls:
            found.append((message["role"], texts, calls, []))
    return found


def said_in_attributes(attributes: dict[str, Any], prefix: str) -> list[Said]:
    """The same of OpenInference's attributes, flattened."""
    count = {int(key[len(prefix) + 1 :].split(".")[0]) for key in attributes if key.startswith(f"{prefix}.")}
    found: list[Said] = []
    for n in sorted(count):
        at = f"{prefix}.{n}.message."
        role = attributes[at + "role"]
        content = attributes.get(at + "content")
        if role == "tool":
            found.append((role, [], [], [(attributes.get(at + "tool_call_id"), content)]))
            continue
        texts = [content] if content else []
        texts += [
            value
            for key, value in sorted(attributes.items(), key=_natural)
            if key.startswith(at + "contents.") and key.endswith("message_content.text")
        ]
        calls = []
        while (call := f"{at}tool_calls.{len(calls)}.tool_call.function.") + "name" in attributes:
            arguments = attributes[call + "arguments"]
            calls.append(
                (attributes[call + "name"], json.loads(arguments) if isinstance(arguments, str) else arguments)
            )
        found.append((role, texts, calls, []))
    return found


def _natural(pair: tuple[str, Any]) -> list[Any]:
    return [int(part) if part.isdigit() else part for part in pair[0].split(".")]


def said_in_parts(messages: list[dict[str, Any]]) -> list[Said]:
    """The same of the GenAI conventions' parts."""
    return [
        (
            message["role"],
            [part["content"] for part in message["parts"] if part["type"] == "text"],
            [(part["name"], part["arguments"]) for part in message["parts"] if part["type"] == "tool_call"],
            [(part["id"], part["response"]) for part in message["parts"] if part["type"] == "tool_call_response"],
        )
        for message in messages
    ]
