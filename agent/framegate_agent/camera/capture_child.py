"""The capture child: python -m framegate_agent.camera.capture_child.

What the source is comes as the first line on standard input: an address with a password is in no
argv. Masks come as further lines. The child is confined (`caged_source`) before it opens its
source; a maker's program (exec:COMMAND) is started first of all, in a cage of its own, because a
camera's first frame waits for it.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from framegate.errors import FramegateError, Reason
from framegate_agent.camera.caged_source import CagedSource, caged_source
from framegate_agent.camera.maker_program import start_program
from framegate_agent.camera.source_names import named_source
from framegate_host.confinement import EXIT_UNCONFINED, Confinement
from framegate_host.logs import tell_crashes
from framegate_host.printing import say

if TYPE_CHECKING:
    from framegate_agent.camera.sources import Shot

_PROGRAM: Final = "exec:"


def main() -> None:
    """The child's entry, `capture.first_line` on its standard input, masks after it."""
    tell_crashes()
    parser = argparse.ArgumentParser(
        description="Framegate capture child: writes frames to standard output."
    )
    parser.add_argument("--part-type", default="")
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--repeat", action="store_true")
    parser.add_argument("--after", type=int, default=0, help="parts read before it broke off")
    parser.add_argument("--unconfined", action="store_true")
    parser.add_argument("--look", action="store_true", help="one frame, measured, and no more")
    args = parser.parse_args()
    code = 0
    try:
        _serve(args)
        sys.stdout.buffer.flush()
    except FramegateError as error:
        say(f"framegate: {error}")
        code = EXIT_UNCONFINED if error.reason == Reason.UNCONFINED else 1
    except (BrokenPipeError, KeyboardInterrupt):
        code = 0
    # a thread waits on standard input for masks: an orderly end of the interpreter would trip over
    # it
    os._exit(code)


def _serve(args: argparse.Namespace) -> None:
    """Start a maker's program, load, confine, then open the source and write what it gives."""
    told = json.loads(sys.stdin.buffer.readline())
    required, program = not args.unconfined, None
    caged = caged_source(named_source(told["source"]))
    if caged.source.startswith(_PROGRAM):
        command = caged.source.removeprefix(_PROGRAM)
        program = start_program(command, Path(told["scratch"]), required=required)
    # what decodes takes as long to load as a program to start
    import cv2  # noqa: PLC0415 - see above
    import numpy as np  # noqa: PLC0415 - see above

    from framegate_agent.camera.masking import Masker  # noqa: PLC0415 - see above
    from framegate_agent.camera.pictures import encoded  # noqa: PLC0415 - see above
    from framegate_agent.camera.sealing import Sealer  # noqa: PLC0415 - see above
    from framegate_agent.camera.sources import (  # noqa: PLC0415 - see above
        look_once,
        relay,
        write_shots,
    )
    from framegate_host.payload_kinds import load_kinds  # noqa: PLC0415 - see above

    cv2.setNumThreads(1)
    confinement = Confinement(caged.cage, required=required)
    confinement.isolate((0, 1, 2) if program is None else (0, 1, 2, program.fileno()))
    encoded(np.zeros((8, 8), np.uint8))  # what is loaded on first use, is loaded now
    sealer = Sealer(masker := Masker(), load_kinds(told["payloads"]))  # likewise
    confinement.close_paths(caged.paths, caged.ports)
    if line := sys.stdin.buffer.readline():  # what holds from the first frame on
        masker.take(line)
        masker.follow(sys.stdin.buffer, lambda: _gone(program is not None))
    confinement.close_calls()
    say(f"framegate: {caged.cage.name}: {confinement.isolation}")
    out = sys.stdout.buffer
    if args.look:
        look_once(_shots(program, caged, args.part_type), out, masker)
    elif program is not None:
        relay(program, out, sealer)
    else:
        shots = _shots(None, caged, args.part_type, args.after)
        write_shots(
            shots,
            out,
            rate=args.rate,
            repeat=args.repeat,
            first_sequence=args.after + 1,
            masker=masker,
        )


def _shots(
    program: IO[bytes] | None, caged: CagedSource, part_type: str, after: int = 0
) -> Iterable[Shot]:
    # loaded by now
    from framegate_agent.camera.sources import open_source, relayed  # noqa: PLC0415 - see `_serve`

    return open_source(caged.source, part_type, after) if program is None else relayed(program)


def _gone(has_program: bool) -> None:
    """The agent has gone: a foreign program, and what it started, must not hold the camera."""
    if has_program:
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    main()
