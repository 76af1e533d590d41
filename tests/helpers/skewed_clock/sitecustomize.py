"""On PYTHONPATH: a machine whose clock is off by $SKEW seconds, and gives files it touches such times."""

import os
import time

skew = float(os.environ["SKEW"])
true_time, true_utime = time.time, os.utime
time.time = lambda: true_time() + skew


def utime(path, times=None, **named):
    now = time.time()
    true_utime(path, (now, now) if times is None and "ns" not in named else times, **named)


os.utime = utime
