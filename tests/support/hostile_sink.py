"""A sink's process that was taken over once it is in its cage: says what it still reaches.

    python -m support.hostile_sink KIND ADDRESS FOLDER UNCONFINED TRY …

A TRY is `read:PATH`, `write:PATH`, `port:NUMBER`, `name:HOST` or `run`; answers JSON, {try: what
came}.
"""

import json
import os
import socket
import sys

from framegate.errors import Unavailable
from framegate.ocsf.logged import OcsfVersion
from framegate.registry.sink import SinkKind
from framegate_controller.sinks.cage import caged_sink
from framegate_controller.sinks.messages import SinkSetup
from framegate_controller.sinks.process import confined_driver
from framegate_host.confinement import Confinement


def came_of(attempt: str) -> str:
    what, _, on = attempt.partition(":")
    try:
        if what == "read":
            with open(on, "rb") as file:  # noqa: PTH123 - as a library would
                file.read(1)
        elif what == "write":
            with open(on, "ab") as file:  # noqa: PTH123
                file.write(b"x")
        elif what == "port":
            socket.create_connection(("127.0.0.1", int(on)), 5).close()
        elif what == "name":
            socket.getaddrinfo(on, 443)
        else:
            os.posix_spawn("/bin/true", ["true"], {})
    except OSError as error:
        return type(error).__name__
    return "done"


def main() -> None:
    kind, address, folder, unconfined, *attempts = sys.argv[1:]
    setup = SinkSetup(
        name="siem",
        kind=SinkKind(kind),
        address=address,
        channel="x",
        version=OcsfVersion.V1_8,
        fleet="plant",
        folder=folder,
        unconfined=unconfined == "unconfined",
    )
    _ours, theirs = socket.socketpair()
    confinement = Confinement(caged_sink(setup).cage, required=not setup.unconfined)
    try:
        confined_driver(setup, confinement, theirs)
    except Unavailable as error:
        print(json.dumps({"refused": str(error)}))
        return
    answers = {attempt: came_of(attempt) for attempt in attempts}
    print(json.dumps(answers | {"isolation": confinement.isolation}))


if __name__ == "__main__":
    main()
