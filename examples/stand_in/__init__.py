"""A stand-in for the model provider: the Messages API on a loopback port.

`wire` knows the format, `server` the sockets, and a script (a function from a
request to a reply) the behaviour. Standard library only.
"""

from .reply import Fault, Reply, Request, Script, Text, ToolUse, Usage, overloaded
from .scripts import overloaded_first, paced
from .server import StandIn
from .support import support_script

__all__ = [
    "Fault",
    "Reply",
    "Request",
    "Script",
    "StandIn",
    "Text",
    "ToolUse",
    "Usage",
    "overloaded",
    "overloaded_first",
    "paced",
    "support_script",
]
