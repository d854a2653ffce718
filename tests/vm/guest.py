"""Runs in the machine: takes commands from outside over a virtio port, one JSON a line, and says
what came of each. It is how the test types, and no part of what is tested.
"""

import json
import subprocess

with open("/dev/virtio-ports/framegate.test", "r+b", buffering=0) as port:  # noqa: PTH123
    port.write(b'{"up": true}\n')
    line = b""
    while True:
        line += port.read(65536) or b""
        while b"\n" in line:
            asked, _, line = line.partition(b"\n")
            try:
                done = subprocess.run(
                    ["/bin/sh", "-c", json.loads(asked)["sh"]],
                    check=False,
                    capture_output=True,
                    text=True,
                    errors="replace",
                    stdin=subprocess.DEVNULL,
                )
                said = {"code": done.returncode, "out": done.stdout, "err": done.stderr}
            except Exception as error:
                said = {"code": -1, "out": "", "err": repr(error)}
            port.write(json.dumps(said).encode() + b"\n")
