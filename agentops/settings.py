"""Settings: `init()` before environment variables before `agentops.toml` before defaults.

A plain table and no pydantic model: it is read before the first span of every program, and importing
pydantic alone would take longer than the whole of `import agentops`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from agentops.errors import SettingError

__all__ = ["GIVEN", "SETTINGS", "Setting", "Value", "find_file", "resolve"]

FILE = "agentops.toml"
#: Where a value comes from that the program gives.
GIVEN = "init()"


_BYTES = {"": 1, "b": 1} | {
    unit + end: size
    for unit, size in {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12, "ki": 2**10, "mi": 2**20, "gi": 2**30}.items()
    for end in ("", "b")
}
_SOME_SIZE = "a size of more than nothing, such as 500MB"
_LEAST_BYTES = 20 * 10**6
_SIZES = "a size of at least 20MB, such as 500MB or 5GB, or 0 for no bound"
_NS = {"": 86_400 * 10**9, "s": 10**9, "m": 60 * 10**9, "h": 3_600 * 10**9, "d": 86_400 * 10**9, "w": 604_800 * 10**9}


class Setting(NamedTuple):
    """One setting: its name in `init()` and in the file, its type, default and meaning."""

    name: str
    parse: Callable[[object], object]
    default: object
    meaning: str

    @property
    def variable(self) -> str:
        return "AGENTOPS_" + self.name.upper()


class Value(NamedTuple):
    """A setting's value and where it came from: `init()`, a variable, a file's path or `default`."""

    value: Any
    origin: str


def _path(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("a path such as .agentops/traces.db")
    return value


def _switch(value: object) -> bool:
    if isinstance(value, bool):
        return value
    words = {"1": True, "true": True, "on": True, "yes": True, "0": False, "false": False, "off": False, "no": False}
    if str(value).lower() not in words:
        raise ValueError("true or false")
    return words[str(value).lower()]


def _amount(value: object, units: Mapping[str, int], example: str) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*", str(value).lower())
    if found is None or found[2] not in units:
        raise ValueError(example)
    return round(float(found[1]) * units[found[2]])


def _size(value: object) -> int:
    """A bound is not below what journals of some running programs hold: a content in one of them cannot go yet."""
    size = _amount(value, _BYTES, _SIZES)
    if 0 < size < _LEAST_BYTES:
        raise ValueError(_SIZES)
    return size


def _waiting(value: object) -> int:
    size = _amount(value, _BYTES, _SOME_SIZE)
    if not size:
        raise ValueError(_SOME_SIZE)
    return size


def _age(value: object) -> int:
    """In ns; a bare number is of days."""
    days = value * _NS["d"] if isinstance(value, int) and not isinstance(value, bool) else value
    return _amount(days, _NS, "an age such as 90m, 12h, 30d or 8w, or 0 for no bound")


def _seconds(value: object) -> float:
    try:
        seconds = float(str(value))
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 1e9:
        raise ValueError("a number of seconds, 0 for never")
    return seconds


def _export(value: object) -> tuple[object, ...]:
    """What targets there are; what each of them has to be, `agentops.exporters.target` knows."""
    if value == "off":
        return ()
    if isinstance(value, str):
        return tuple(re.split(r"[\s,]+", value.strip(" \t\n,")))
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def _prices(value: object) -> object:
    """What a model costs; what JSON cannot hold, exact decimals and days, as texts."""
    import json

    from agentops.prices import read_own

    read_own(value)
    return json.loads(value if isinstance(value, str) else json.dumps(value, default=str))


def _redact(value: object) -> str:
    if value not in ("pii", "secrets", "off"):
        raise ValueError("pii (personal data and secrets), secrets or off")
    return str(value)


SETTINGS: tuple[Setting, ...] = (
    Setting("store", _path, None, "path of the store's file; found from the working directory if not set"),
    Setting("enabled", _switch, True, "false switches all recording off"),
    Setting("quiet", _switch, False, "true leaves out the line on standard error that says where is recorded"),
    Setting(
        "max_bytes", _size, 5 * 10**9, "room for the store, such as 5GB: the oldest clean runs go first; 0: no bound"
    ),
    Setting("max_age", _age, 0, "how old runs may become, such as 30d; 0: no bound"),
    Setting(
        "max_journal_bytes", _waiting, 10**9, "what may wait for the store in journals before new records are dropped"
    ),
    Setting(
        "watch_after", _seconds, 30.0, "seconds after which the stacks of a step that is still open are noted; 0: never"
    ),
    Setting("watch_memory", _switch, True, "false leaves out noting when the program's memory grows large"),
    Setting("export", _export, (), "where spans are sent: URLs of OTLP receivers, otlp, console, or off"),
    Setting("redact", _redact, "off", "pii: nothing personal or secret is written; secrets: those alone"),
    Setting("prices", _prices, None, "US dollars for a million tokens, by model, before those of the list"),
)


def resolve(given: Mapping[str, object] | None = None) -> dict[str, Value]:
    """Every setting with its value and origin.

    Args:
        given: what `init()` was called with; entries that are None do not count.

    Raises:
        SettingError: a value cannot be used, a name is unknown, or the file is not valid TOML.
    """
    given = given or {}
    file, entries = _read_file()
    values: dict[str, Value] = {}
    for setting in SETTINGS:
        if given.get(setting.name) is not None:
            raw, origin = given[setting.name], GIVEN
        elif os.environ.get(setting.variable):
            raw, origin = os.environ[setting.variable], setting.variable
        elif setting.name in entries:
            raw, origin = entries[setting.name], file or FILE
        else:
            values[setting.name] = Value(setting.default, "default")
            continue
        try:
            value = setting.parse(raw)
        except ValueError as problem:
            raise SettingError(f"{setting.name} = {raw!r} (from {origin}) cannot be used: give {problem}") from None
        if setting.parse is _path and origin == file:
            value = os.path.join(os.path.dirname(file), str(value))
        values[setting.name] = Value(value, origin)
    return values


def find_file(start: str | None = None) -> str | None:
    """The nearest `agentops.toml` upwards from `start`, at most up to the home folder; None without one."""
    try:
        folder = os.path.abspath(start or os.getcwd())
    except OSError:
        return None
    home = os.path.expanduser("~")
    while True:
        path = os.path.join(folder, FILE)
        if os.path.isfile(path):
            return path
        parent = os.path.dirname(folder)
        if folder == home or parent == folder:
            return None
        folder = parent


def _read_file() -> tuple[str | None, dict[str, Any]]:
    path = find_file()
    if path is None:
        return None, {}
    import tomllib  # only where there is a file: it costs more than the rest of this module

    try:
        with open(path, "rb") as file:
            text = file.read().decode()
        entries = tomllib.loads(text)
        if "prices" in entries:  # exact, as they are written
            from decimal import Decimal

            entries["prices"] = tomllib.loads(text, parse_float=Decimal)["prices"]
    except (OSError, ValueError) as problem:  # not TOML, or not UTF-8
        raise SettingError(f"{path} cannot be read: {problem}") from None
    names = {setting.name for setting in SETTINGS}
    for name, value in entries.items():
        if name not in names and not isinstance(value, dict):
            raise SettingError(f"{path}: there is no setting {name!r}; there are {', '.join(sorted(names))}")
    return path, entries
