"""A process that seals and publishes, killed at one exact step of it: run by the tests.

    python -m tests.faults.sealer FUNCTION EVENT NTH

EVENT is `call` or `return` of the function so named in evidence's own modules or in psycopg or os; at its NTH
time the process kills itself, as kill -9 would. Nothing of the code is replaced: the interpreter's own profiler
says when. With FUNCTION `none` everything is done. Prints how far it came.
"""

from __future__ import annotations

import os
import signal
import sys
from datetime import UTC, datetime
from types import FrameType


def main() -> None:
    import django

    django.setup()
    from django.conf import settings

    from tallystick.core.db import SEQUENCER
    from tallystick.evidence import publishing, sealing

    function, event, nth = sys.argv[1], sys.argv[2], int(sys.argv[3])
    seen = 0

    def watch(frame: FrameType, what: str, argument: object) -> None:
        nonlocal seen
        is_c = what.startswith("c_")
        name = getattr(argument, "__name__", "") if is_c else frame.f_code.co_name
        if name == function and what.removeprefix("c_") == event:
            seen += 1
            if seen == nth:
                os.kill(os.getpid(), signal.SIGKILL)

    if function != "none":
        sys.setprofile(watch)
    sealing.seal(SEQUENCER, now=datetime(2026, 3, 2, 2, tzinfo=UTC), limit=200)
    publishing.publish(SEQUENCER, settings.LOG_FOLDER)
    sys.setprofile(None)
    print("done")


if __name__ == "__main__":
    main()
