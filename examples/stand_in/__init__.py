"""A stand-in for the model provider: the Messages API on a loopback port.

`wire` knows the format, `server` the sockets, `prefix_cache` what the provider
keeps of prompts, and a script (a function from a request to a reply) the
behaviour. Standard library only.
"""

from .prefix_cache import PrefixCache
from .reply import (
    Block,
    Break,
    Fault,
    Reply,
    Request,
    Script,
    ServerToolUse,
    Text,
    Thinking,
    ToolUse,
    Usage,
    overloaded,
)
from .scripts import overloaded_first, paced
from .server import StandIn
from .support import support_script

__all__ = [
    "Block",
    "Break",
    "Fault",
    "PrefixCache",
    "Reply",
    "Request",
    "Script",
    "ServerToolUse",
    "StandIn",
    "Text",
    "Thinking",
    "ToolUse",
    "Usage",
    "overloaded",
    "overloaded_first",
    "paced",
    "support_script",
]
