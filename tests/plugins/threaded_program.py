"""A program that starts a thread when it is imported, as a library might."""

from __future__ import annotations

import threading
import time

threading.Thread(target=time.sleep, args=(60,), name="sleeper", daemon=True).start()


def main(_: object) -> int:
    return 0
