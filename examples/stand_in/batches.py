"""Message batches: kept in memory, and done when they are asked for again."""

from __future__ import annotations

import datetime
import json
import threading
from collections.abc import Callable
from typing import Any

from . import wire
from .wire import Json

#: Answers one request of a batch: `succeeded` or `errored`, and the message or error.
Run = Callable[[Json], tuple[str, Json]]


class Batches:
    """The batches that one server was given."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._batches: dict[str, tuple[Json, list[Json]]] = {}

    def create(self, requests: list[Json], run: Run, url: str) -> Json:
        """Take in a batch; it says that it is in progress until somebody looks at it again."""
        results = []
        for request in requests:
            kind, value = run(request["params"])
            name = "message" if kind == "succeeded" else "error"
            results.append({"custom_id": request["custom_id"], "result": {"type": kind, name: value}})
        number, now = wire.new_id("msgbatch"), datetime.datetime.now(datetime.UTC)
        good = sum(result["result"]["type"] == "succeeded" for result in results)
        done: Json = {
            "id": number,
            "type": "message_batch",
            "processing_status": "ended",
            "request_counts": _counts(succeeded=good, errored=len(results) - good),
            "created_at": now.isoformat(),
            "expires_at": (now + datetime.timedelta(days=1)).isoformat(),
            "ended_at": now.isoformat(),
            "archived_at": None,
            "cancel_initiated_at": None,
            "results_url": f"{url}/v1/messages/batches/{number}/results",
        }
        with self._lock:
            self._batches[number] = (done, results)
        waiting = {"processing_status": "in_progress", "ended_at": None, "results_url": None}
        return {**done, **waiting, "request_counts": _counts(processing=len(results))}

    def find(self, number: str) -> Json | None:
        """A batch, which has ended by now."""
        with self._lock:
            found = self._batches.get(number)
        return found[0] if found else None

    def listed(self) -> Json:
        """All batches, the newest first, as one page of a list."""
        with self._lock:
            data = [batch for batch, _ in reversed(self._batches.values())]
        ends = {"first_id": data[0]["id"], "last_id": data[-1]["id"]} if data else {"first_id": None, "last_id": None}
        return {"data": data, "has_more": False, **ends}

    def results(self, number: str) -> bytes | None:
        """The results of a batch, a line each."""
        with self._lock:
            found = self._batches.get(number)
        return b"".join(json.dumps(line).encode() + b"\n" for line in found[1]) if found else None


def problem(body: Any) -> str | None:
    """What is wrong with the body of a new batch."""
    requests = body.get("requests") if isinstance(body, dict) else None
    if not isinstance(requests, list) or not requests:
        return "requests: at least one request is required"
    for at, request in enumerate(requests):
        if not isinstance(request, dict) or not isinstance(request.get("custom_id"), str):
            return f"requests.{at}.custom_id: a string is required"
    names = [request["custom_id"] for request in requests]
    return "requests: every custom_id must be unique" if len(set(names)) < len(names) else None


def _counts(**told: int) -> Json:
    return {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0} | told
