"""What holds for every test."""

from __future__ import annotations

import signal

# A shell starts a job in the background with SIGINT ignored, and so would every process that a test starts.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
