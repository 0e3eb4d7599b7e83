"""Ctrl-C and what is like it, SIGTERM and a terminal that closes: each is a KeyboardInterrupt, except while something is put
back in order.
"""

import contextlib
import signal

LIKE_IT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def listen():
    """From now on; what somebody had ignored for this program (nohup) stays ignored."""
    for which in LIKE_IT:
        if signal.getsignal(which) is not signal.SIG_IGN:
            signal.signal(which, signal.default_int_handler)


@contextlib.contextmanager
def held_off():
    """None of them within the block, neither here nor in the commands that are run."""
    before = {which: signal.signal(which, signal.SIG_IGN) for which in LIKE_IT}
    try:
        yield
    finally:
        for which, what in before.items():
            signal.signal(which, what)
