"""An exception as people read it: its words, and where in the user's own code it was raised."""

from __future__ import annotations

import os.path
import re

__all__ = ["comes_from", "place", "without_modules", "words"]

#: Modules in front of an error's type.
_MODULES = re.compile(r"^(?:\w+\.)+(?=\w+(?::|$))")
#: What clients of models make of an answer that is an error: a code, and the answer as Python writes it.
_ANSWERED = re.compile(r"(?s)^(\w+): (?:Error code: (\d{3}) - \{|\{(?=.*['\"]error['\"]: ?\{.*\}$))(.*)")
_MESSAGE = re.compile(r"""(?s)['"]message['"]:\s*(['"])((?:(?!\1)[^\\]|\\.)+)""")
_ESCAPED = re.compile(r"(?s)\\(.)")
_FRAME = re.compile(r'^[ \t|+]*File "([^"\n]+)", line (\d+)(?:, in (\S[^\n]*))?$', re.MULTILINE)
_NOT_OWN = re.compile(
    r"(?i)(?:site|dist)-packages[/\\]|[/\\]lib[/\\]python\d[\d.]*t?[/\\]|[/\\]python[\d.]+[/\\]lib[/\\]|^<frozen"
)
_AGENTOPS = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_HANDLING = re.compile(
    r"^[ \t|+]*During handling of the above exception, another exception occurred:[ \t]*$", re.MULTILINE
)
#: Characters of a traceback that are looked at, the last.
_TRACEBACK_MAX = 200_000


def without_modules(error: str) -> str:
    """`JSONDecodeError: …` of `json.decoder.JSONDecodeError: …`."""
    return _MODULES.sub("", error)


def words(error: str | None) -> str:
    """An error without the modules of its type, and of a model's answer the sentence in it.

    >>> words("anthropic.BadRequestError: Error code: 400 - {'error': {'message': 'prompt is too long'}}")
    'BadRequestError 400: prompt is too long'
    >>> words("CancelledError: ")
    'CancelledError'
    """
    text = without_modules(error or "").strip()
    answered = _ANSWERED.match(text)
    if answered and (said := _MESSAGE.search(answered[3])):
        kind = " ".join(filter(None, answered.group(1, 2)))
        return f"{kind}: {_ESCAPED.sub(lambda found: ' ' if found[1] in 'nrt' else found[1], said[2])}"
    kind, _, message = text.partition(":")
    return text if message else kind


def comes_from(stack: str, message: str, error: str) -> bool:
    """Whether an exception is another one, was raised from it, holds it in its group, or quotes it.

    What was raised while the other was handled, and does not say so, is an error of its own.

    Args:
        stack: its traceback as Python prints it, causes included.
        message: its own, which may hold anything.
        error: type and message of the other one.
    """
    kind, _, said = without_modules(error).partition(":")
    said = said.strip()
    if said and said in message:
        return True
    stack = _HANDLING.split(stack[-_TRACEBACK_MAX:])[-1]
    first = said.split("\n", 1)[0].rstrip()
    line = rf"^[ \t|+]*(?:[\w<>]+\.)*{re.escape(kind)}" + (rf": {re.escape(first)}" if first else r":?[ \t]*$")
    return re.search(line, stack, re.MULTILINE) is not None


def place(stack: str, message: str, folder: str | None) -> str | None:
    """Where in the user's own code an exception was raised, `triage.py:13 in parse`; None if it was not there.

    Args:
        stack: the traceback as Python prints it.
        message: the exception's own, which may hold anything.
        folder: in which the program was started: a path is told relative to it, others by their last two parts.
    """
    stack = stack[-_TRACEBACK_MAX:].rstrip()
    if message.strip() and (at := stack.rfind(f": {message.strip()}")) > 0:
        stack = stack[:at]
    found = None
    for frame in _FRAME.finditer(stack):
        if not _NOT_OWN.search(frame[1]) and not frame[1].startswith(_AGENTOPS):
            found = frame
    if found is None:
        return None
    path, number, function = found.groups()
    if folder and path.startswith((folder.rstrip("/\\") + "/", folder.rstrip("/\\") + "\\")):
        path = path[len(folder.rstrip("/\\")) + 1 :]
    elif os.path.isabs(path) or path[1:3] in (":\\", ":/"):
        path = "/".join(re.split(r"[/\\]", path)[-2:])
    return f"{path}:{number}" + (f" in {function}" if function and function != "<module>" else "")
