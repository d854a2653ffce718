"""N130: descriptors are raised, or a program does not start."""

import resource
import subprocess
import sys

PROGRAM = """
import resource
from framegate.errors import Unavailable
from framegate_host.descriptors import require_descriptors
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 256))
require_descriptors(200, "a test")
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200
require_descriptors(100, "a test")
assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 200, "never lowered"
try:
    require_descriptors(257, "a test")
except Unavailable as error:
    assert "257 open files" in str(error) and "LimitNOFILE=257" in str(error)
else:
    raise AssertionError("it would have started")
"""


def test_n130_descriptors_are_raised_or_start_is_refused():
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    subprocess.run([sys.executable, "-c", PROGRAM], check=True, timeout=60)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before
