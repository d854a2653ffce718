"""A program that serves over gRPC ends without a thread of gRPC's beside its interpreter's end."""

import subprocess

from framegate_host.child_process import OWN_PYTHON

SERVES = """
import asyncio, gc, sys, threading, time
import grpc
from framegate_host.signals import run_service

gc.disable()  # no luck: what is in a circle stays until somebody looks for it

run = threading.Thread.run

def and_ends_late(thread):
    run(thread)
    time.sleep(float(sys.argv[2]))

threading.Thread.run = and_ends_late

async def work():
    server = grpc.aio.server()
    server.add_insecure_port("127.0.0.1:0")
    await server.start()
    circle = [server]
    circle.append(circle)
    await server.stop(0)

(run_service if sys.argv[1] == "ours" else asyncio.run)(work())
print(sum("_poll_wrapper" in thread.name for thread in threading.enumerate()))
"""


def left(how: str, *, late_s: float = 0.0) -> str:
    command = [*OWN_PYTHON, "-c", SERVES, how, str(late_s)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.strip()


def test_no_thread_of_grpcs_is_left_when_a_service_has_ended():
    assert left("ours") == "0"


def test_a_thread_that_takes_its_time_to_end_is_awaited():
    """As on a busy machine: gRPC joins it for a fifth of a second, and goes on."""
    assert left("ours", late_s=0.7) == "0"


def test_the_loop_alone_leaves_one():
    """Why `run_service` looks: should gRPC mend this, the line can go."""
    assert left("loop") == "1"
