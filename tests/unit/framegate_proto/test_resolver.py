"""Names are looked up as the rest of the host does it, whatever a name server says."""

import subprocess
import sys

import pytest

from framegate_proto import RESOLVER

SHOWN = "import os, framegate_proto.targets; print(os.environ['GRPC_DNS_RESOLVER'])"


@pytest.mark.parametrize(("given", "wanted"), [({}, "native"), ({RESOLVER: "ares"}, "ares")])
def test_the_hosts_own_resolver_is_asked_unless_somebody_says_otherwise(given, wanted):
    argv = [sys.executable, "-c", SHOWN]
    done = subprocess.run(argv, env=given, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == wanted
