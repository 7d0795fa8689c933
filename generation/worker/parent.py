"""A child process that must not outlive its parent."""

import ctypes
import signal
import sys

_PR_SET_PDEATHSIG = 1  # from <sys/prctl.h>


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent ends, even while the GIL is held.

    Linux only, where "parent" is the thread that started this process. Does nothing elsewhere.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
