"""`python -m agentops_tui [TRACE]`: the explorer, opened at one run."""

from __future__ import annotations

import sys

from agentops.errors import AgentopsError
from agentops_tui import main

try:
    sys.exit(main(*sys.argv[1:2]))
except AgentopsError as problem:
    print(f"agentops: {problem}", file=sys.stderr)
    sys.exit(problem.exit_code)
