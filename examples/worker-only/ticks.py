"""Writes a line now and then until it is told to stop; then says goodbye within its grace time."""

import os
import signal
import threading

stop = threading.Event()
signal.signal(signal.SIGTERM, lambda *_: stop.set())

every = float(os.environ.get("TICK_SECONDS", "5"))
print("up as", os.environ.get("DYNO", "nobody"))
count = 0
while not stop.wait(every):
    count += 1
    print("tick", count)
print("goodbye after", count, "ticks")
