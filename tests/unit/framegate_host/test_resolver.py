"""Names are looked up as the rest of the host does it, whatever a name server says."""

import os
import subprocess
import sys

import pytest

from framegate_host import RESOLVER
from support.paths import ROOT

LOOKS_UP = """
import importlib, sys
importlib.import_module(sys.argv[1])
import grpc
channel = grpc.insecure_channel("localhost:1")
try:
    grpc.channel_ready_future(channel).result(timeout=0.3)
except grpc.FutureTimeoutError:
    pass
"""
OWN_WAY = "c-ares"
"""What gRPC's own resolver is called in what it says of itself."""


def said(module, **more):
    """What gRPC says of looking a name up in a program that begins with `module`."""
    traced = {"GRPC_VERBOSITY": "debug", "GRPC_TRACE": "cares_resolver,dns_resolver"}
    env = {k: v for k, v in os.environ.items() if k != RESOLVER} | traced | more
    argv = [sys.executable, "-P", "-c", LOOKS_UP, module]
    done = subprocess.run(argv, env=env, capture_output=True, text=True, check=True)
    assert "gRPC Tracers" in done.stderr
    return done.stderr


@pytest.mark.plants
@pytest.mark.parametrize(
    "module",
    [
        "framegate_agent.main",
        "framegate_console.server",
        "framegate_controller.server",
        "framegate_gateway.server",
        "framegate_operator.connection",
        "framegate_proto.targets",
        "framegate_segment.server",
    ],
)
def test_every_program_asks_the_hosts_own_resolver_however_its_modules_are_ordered(module):
    assert OWN_WAY not in said(module)


@pytest.mark.plants
def test_somebody_may_say_otherwise():
    assert OWN_WAY in said("framegate_proto.targets", **{RESOLVER: "ares"})


PACKAGES = [
    "controller/framegate_console",
    "controller/framegate_controller",
    "controller/framegate_gateway",
    "controller/framegate_operator",
    "controller/framegate_segment",
    "proto/framegate_proto",
]
"""The agent's program imports the edge to the host first, and loads gRPC later."""


def test_packages_that_load_grpc_say_first_who_looks_names_up():
    loading = {
        str(module.relative_to(ROOT).parent)
        for top in ("controller", "proto")
        for module in (ROOT / top).rglob("*.py")
        if module.parent.parent.name == top and "import grpc\n" in module.read_text()
    }
    assert loading <= set(PACKAGES)
    for package in PACKAGES:
        lines = (ROOT / package / "__init__.py").read_text().splitlines()
        imports = [
            line for line in lines if line.startswith(("import framegate", "from framegate"))
        ]
        assert imports[0].startswith("import framegate_host"), package
