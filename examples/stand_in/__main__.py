"""Runs the stand-in by itself: `python -m examples.stand_in --port 0`."""

from __future__ import annotations

import argparse
import signal
import sys

from . import StandIn, overloaded_first, support_script


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m examples.stand_in")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument(
        "--overloaded",
        type=int,
        default=0,
        metavar="N",
        help="answer the first N requests with 529",
    )
    options = parser.parse_args()

    # Blocked before the server's threads start, and so in them too: the signal
    # waits for sigwait() below, whichever thread it would have hit.
    stop = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, stop)
    script = overloaded_first(options.overloaded, support_script)
    with StandIn(script, port=options.port) as server:
        print(server.url, flush=True)
        signal.sigwait(stop)
    return 0


if __name__ == "__main__":
    sys.exit(main())
