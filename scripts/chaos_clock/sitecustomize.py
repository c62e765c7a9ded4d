"""Give a process a wrong clock that jumps once; Python imports this where it is on the path.

``CHAOS_CLOCK`` says by how many seconds the clock is ahead, and by how many it jumps later.
"""

import os
import random
import threading
import time

import time_machine

AHEAD, JUMP = map(float, os.environ["CHAOS_CLOCK"].split())

clock = time_machine.travel(time.time() + AHEAD, tick=True).start()
timer = threading.Timer(random.uniform(1, 6), clock.shift, [JUMP])
timer.daemon = True
timer.start()
