"""Who serves a model, and what the server tells of it."""

from __future__ import annotations

import functools
import http.client
import json
import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from agentops import conventions
from agentops.calls import Answer
from agentops.recorder.suppression import suppressed

__all__ = ["ask", "facts", "provider"]

#: The conventions' names for houses, by the end of their hosts; they tell nothing of weights, so they are not asked.
_HOUSES = {
    "openai.azure.com": "azure.ai.openai",
    "cognitiveservices.azure.com": "azure.ai.openai",
    "services.ai.azure.com": "azure.ai.inference",
    "openai.com": "openai",
    "amazonaws.com": "aws.bedrock",
    "aiplatform.googleapis.com": "gcp.vertex_ai",
    "generativelanguage.googleapis.com": "gcp.gemini",
    "api.deepseek.com": "deepseek",
    "api.groq.com": "groq",
    "api.mistral.ai": "mistral_ai",
    "api.moonshot.ai": "moonshot_ai",
    "api.perplexity.ai": "perplexity",
    "api.x.ai": "x_ai",
    "api.anthropic.com": "anthropic",
    "api.cerebras.ai": "cerebras",
    "api.cohere.ai": "cohere",
    "api.fireworks.ai": "fireworks",
    "api.together.xyz": "together_ai",
    "openrouter.ai": "openrouter",
}
#: Servers by what they call themselves: `owned_by` in their list of models, or the header `server`.
_SERVERS = {"vllm": "vllm", "llamacpp": "llama.cpp", "llama.cpp": "llama.cpp", "library": "ollama", "sglang": "sglang"}
_OLLAMA_PORT = 11434
_TIMEOUT_S = 10
_SIZE_MAX = 1 << 20
_ENTRY_MAX = 16 << 10

_lists: dict[str, list[dict[str, Any]] | None] = {}  # by base URL; None while it is asked


def provider(client: Any) -> str:
    """Who serves, as far as the address tells: the conventions' name of a house, else the host."""
    host = str(client.base_url.host).lower().rstrip(".")
    house = _house(host)
    if house is not None:
        return house
    if type(client).__name__.endswith("AzureOpenAI"):
        return "azure.ai.openai"
    known = _known(str(client.base_url))
    return known or ("ollama" if client.base_url.port == _OLLAMA_PORT else host)


@functools.lru_cache(maxsize=256)
def _house(host: str) -> str | None:
    return next((name for end, name in _HOUSES.items() if host == end or host.endswith("." + end)), None)


def _known(base_url: str) -> str | None:
    owners = (entry.get("owned_by") for entry in _lists.get(base_url) or ())
    return next((_SERVERS[owner] for owner in owners if isinstance(owner, str) and owner in _SERVERS), None)


def ask(client: Any) -> None:
    """Begin to ask a server that is none of the houses what it serves, once, and not on this thread."""
    base = str(client.base_url)
    if base in _lists or _house(str(client.base_url.host).lower().rstrip(".")) is not None:
        return
    if type(client).__name__.endswith("AzureOpenAI"):
        return
    _lists[base] = None
    headers = {"accept": "application/json"}
    for name, value in dict(getattr(client, "_custom_headers", None) or {}).items():
        if isinstance(name, str) and isinstance(value, str):
            headers[name] = value
    key = client.api_key
    if isinstance(key, str) and key and not any(name.lower() == "authorization" for name in headers):
        headers["authorization"] = f"Bearer {key}"
    threading.Thread(target=_ask, args=(base, headers), name="agentops-models", daemon=True).start()


def _ask(base: str, headers: dict[str, str]) -> None:
    with suppressed():
        try:
            _lists[base] = _models(base, headers)
        except Exception:  # noqa: BLE001 - it need not have such a list, or be there at all
            _lists[base] = []


def _models(base: str, headers: dict[str, str]) -> list[dict[str, Any]]:
    # Not by the program's own HTTP client: another thread may not use it. And the key is taken nowhere else.
    url = urlsplit(base)
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    connection = kind(url.hostname or "", url.port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", url.path.rstrip("/") + "/models", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            return []
        listed = json.loads(response.read(_SIZE_MAX))
    finally:
        connection.close()
    entries = listed.get("data") if isinstance(listed, dict) else None
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []


def facts(base_url: str, response: Any, answer: Answer | None, requested: Any) -> dict[str, Any]:
    """Attributes for what is known of who has answered, now that there is an answer."""
    found: dict[str, Any] = {}
    host = urlsplit(base_url).hostname or ""
    if _house(host) is not None:
        return found
    called = response.headers.get("server", "") if response is not None else ""
    name = _known(base_url) or _SERVERS.get(str(called).lower())
    if name is not None:
        found[conventions.PROVIDER_NAME] = name
    entry = _entry(_lists.get(base_url) or [], answer.facts if answer is not None else {}, requested)
    if entry is not None and len(json.dumps(entry)) <= _ENTRY_MAX:
        found[conventions.SERVED_MODEL] = entry
    return found


def _entry(entries: list[dict[str, Any]], facts: Mapping[str, Any], requested: Any) -> dict[str, Any] | None:
    for model in (facts.get(conventions.RESPONSE_MODEL), requested):
        for entry in entries:
            if isinstance(model, str) and entry.get("id") == model:
                return entry
    return entries[0] if len(entries) == 1 else None  # llama.cpp serves what it has, whatever it is asked for
