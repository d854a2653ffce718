"""The console commands that a wheel installs, and what each needs beyond a plain install.

Standard library alone: it speaks where nothing else is there to speak.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from framegate_host.logs import tell_unforeseen
from framegate_host.printing import say
from framegate_host.start_imports import import_to_stay

EXIT_INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells have it."""
EXIT_UNAVAILABLE: Final = 7
"""As in `framegate_host.console`, which a broken install may not be able to import."""
_LAST_STANDARD: Final = 2
OURS: Final = "framegate"
"""What our own packages' names begin with: one of them missing is a fault, no missing extra."""

PACKAGED: Final = "/opt/framegate/"
"""Where Debian packages of ours have their environments."""
APART: Final = frozenset({"camera", "kafka", "tpm"})
"""Extras that are packages of their own, beside the one that lacks them."""


def hold_standard_descriptors() -> None:
    """Descriptors 0 to 2 are open from here on: whoever started this may have closed one (`>&-`).

    The next file that is opened would get its number, and what is said to a person would be
    written into a key, a ticket or an export.
    """
    while (opened := os.open(os.devnull, os.O_RDWR)) <= _LAST_STANDARD:
        os.set_inheritable(opened, True)
    os.close(opened)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            # it stays for as long as the process
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))  # noqa: PTH123, SIM115


@dataclass(frozen=True, slots=True)
class Program:
    """A console command: the module whose `run_app` it is, and the extra that holds what its
    commands need; empty for what a plain install is. `ways` are modules that only some ways of
    running it need, with the extras that bring those.
    """

    name: str
    module: str
    extra: str
    ways: Mapping[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Run it. Where a module is missing, say which extra brings it and end with exit code 7."""
        hold_standard_descriptors()
        tell_unforeseen()
        # its C library tells of each handshake that fails, beside what we say of it in words
        os.environ.setdefault("GRPC_VERBOSITY", "NONE")
        try:
            import_to_stay(self.module).run_app()
        except KeyboardInterrupt:  # while it still loads: later on the program itself says what
            raise SystemExit(EXIT_INTERRUPTED) from None
        except ModuleNotFoundError as error:
            missing = (error.name or "").split(".")[0]
            if not missing or missing.startswith(OURS):
                raise
            say(self.advice(missing))
            raise SystemExit(EXIT_UNAVAILABLE) from None

    def advice(self, missing: str) -> str:
        """What to install where the module `missing` is."""
        extra = self.ways.get(missing, self.extra)
        what = f"the extra {extra!r}" if extra else "an install that is whole"
        return (
            f"{self.name}: this command needs {what}\n"
            f"  expected  the module {missing}\n"
            f"  seen      none\n"
            f"  do        {way_to(extra)}"
        )


def way_to(extra: str, prefix: str = sys.prefix) -> str:
    """The command that brings an extra to the environment at `prefix`: a package's, or another."""
    if not prefix.startswith(PACKAGED):
        return f"pip install 'framegate[{extra}]'" if extra else "pip install 'framegate'"
    name = f"framegate-{prefix.removeprefix(PACKAGED)}"
    if extra in APART:
        return f"apt-get install {name}-{extra}"
    return f"apt-get install --reinstall {name}"


_TRACES: Final = {"opentelemetry": "traces"}
OPERATOR: Final = Program("framegate", "framegate_operator.main", "", {"confluent_kafka": "kafka"})
CONTROLLER: Final = Program(
    "framegate-controller",
    "framegate_controller.main",
    "controller",
    {
        "tpm2_pytss": "tpm",
        "pkcs11": "pkcs11",
        "confluent_kafka": "kafka",
        "psycopg": "postgres",
        **_TRACES,
    },
)
AGENT: Final = Program(
    "framegate-agent",
    "framegate_agent.main",
    "agent",
    {"cv2": "camera", "numpy": "camera", **_TRACES},
)
GATEWAY: Final = Program("framegate-gateway", "framegate_gateway.main", "gateway", _TRACES)
MODELS: Final = Program("framegate-models", "framegate_models.main", "models")
LINE: Final = Program("framegate-line", "framegate_line.main", "line")
SEGMENT: Final = Program("framegate-segment", "framegate_segment.main", "")
CONSOLE: Final = Program("framegate-console", "framegate_console.main", "console")
SIMULATORS: Final = Program("framegate-sim", "framegate_simulators.main", "simulators")
PROGRAMS: Final = (
    OPERATOR,
    CONTROLLER,
    AGENT,
    GATEWAY,
    MODELS,
    LINE,
    SEGMENT,
    CONSOLE,
    SIMULATORS,
)
