"""A maker's capture program, started in its cage. Nothing here takes long to import: the program
starts while its capture child still loads what decodes pictures.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from pathlib import Path
from typing import IO

from framegate.errors import Reason, Unavailable
from framegate_agent.camera.caged_source import program_paths
from framegate_host.cages import CAPTURE_PROGRAM
from framegate_host.confinement import QUIET, Confinement, end_with_parent


def start_program(command: str, scratch: Path, *, required: bool) -> IO[bytes]:
    """Standard output of a foreign capture program, started in its cage (row `capture-program`);
    it dies with this process. Raises Unavailable where it does not start, or cannot be confined.
    """
    cage = Confinement(CAPTURE_PROGRAM, required=required)
    paths = program_paths(command, scratch)

    def enter() -> None:
        cage.isolate(None)
        end_with_parent()
        cage.close_paths(paths)
        cage.close_calls()

    environment = {**os.environ, "TMPDIR": str(scratch)}
    for name in QUIET:
        environment.pop(name, None)
    try:
        # no thread has been started here, which is what makes a function between fork and exec safe
        program = subprocess.Popen(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            preexec_fn=enter,  # noqa: PLW1509
        )
    except (OSError, subprocess.SubprocessError) as error:
        wanted = f"a capture program in its cage: {ascii(command)[:80]}"
        raise Unavailable.of(Reason.UNAVAILABLE, wanted, error) from error
    if program.stdout is None:
        raise RuntimeError("the program has no standard output")
    return program.stdout
