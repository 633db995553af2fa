"""Credentials made up when a test runs: none that looks alive stands in a file."""

from __future__ import annotations

import re._parser as parser
import string
from random import Random

ALNUM = string.ascii_letters + string.digits


def sample(pattern: str, random: Random) -> str:
    """A text that the pattern matches: enough of `re` for the tables of rules."""
    return "".join(_made(token, value, random) for token, value in parser.parse(pattern))


def _made(token: object, value: object, random: Random) -> str:
    match str(token):
        case "LITERAL":
            return chr(value)
        case "IN":
            return random.choice([c for c in map(chr, range(32, 127)) if _holds(value, c)])
        case "MAX_REPEAT" | "MIN_REPEAT":
            low, high, inner = value
            times = random.randint(low, min(int(high), low + 3))
            return "".join(_made(*one, random) for _ in range(times) for one in inner)
        case "SUBPATTERN":
            return "".join(_made(*one, random) for one in value[-1])
        case "BRANCH":
            return "".join(_made(*one, random) for one in random.choice(value[1]))
        case "ASSERT" | "ASSERT_NOT" | "AT":
            return ""
    raise AssertionError(f"{token} is new in the tables")


def _holds(choices: list[tuple[object, object]], character: str) -> bool:
    for token, value in choices:
        match str(token):
            case "LITERAL" if chr(value) == character:
                return True
            case "RANGE" if value[0] <= ord(character) <= value[1]:
                return True
            case "CATEGORY" if "WORD" in str(value) and (character.isalnum() or character == "_"):
                return True
            case "CATEGORY" if "SPACE" in str(value) and character == " ":
                return True
            case "CATEGORY" if "DIGIT" in str(value) and character.isdigit():
                return True
    return False


def key(random: Random, length: int = 32) -> str:
    """A key of no provider."""
    return "".join(random.choice(ALNUM) for _ in range(length - 4)) + "x7Q2"
