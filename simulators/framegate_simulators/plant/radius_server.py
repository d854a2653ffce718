"""FreeRADIUS with nothing but the question for a port's VLAN: a real server, on loopback."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Final

from framegate_simulators.plant.dot1x import Programs
from framegate_simulators.plant.processes import free_port, wait_for

SECRET: Final = "a-secret-of-the-switch-alone"  # noqa: S105 - of a server on loopback, for a test
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_CONFIGURATION: Final = """prefix = /usr
libdir = /usr/lib/freeradius
logdir = {folder}
run_dir = {folder}
pidfile = {folder}/radiusd.pid
correct_escapes = true
security {{
    reject_delay = 0
    status_server = no
}}
client switch {{
    ipaddr = 127.0.0.1
    secret = {secret}
    require_message_authenticator = yes
}}
thread pool {{
    start_servers = 1
    max_servers = 2
}}
modules {{
    exec framegate {{
        wait = yes
        program = "{program} %{{Calling-Station-Id}}"
        input_pairs = request
        output_pairs = reply
        shell_escape = yes
        timeout = 30
    }}
}}
server plant {{
    listen {{
        type = auth
        ipaddr = 127.0.0.1
        port = {port}
    }}
    authorize {{
        update control {{
            Auth-Type := Accept
        }}
        framegate
    }}
    authenticate {{
    }}
}}
"""


def missing_radius() -> str:
    """Why FreeRADIUS cannot be tried here; empty where it can."""
    absent = [p for p in ("freeradius", "radclient") if shutil.which(p, path=_PATH) is None]
    return (
        f"needs {', '.join(absent)}: apt-get install freeradius freeradius-utils" if absent else ""
    )


def start_radius(programs: Programs, program: str) -> int:
    """A RADIUS server that asks `program` for each port; its UDP port."""
    folder, port = programs.folder / "radius", free_port()
    folder.mkdir()
    text = _CONFIGURATION.format(folder=folder, secret=SECRET, program=program, port=port)
    (folder / "radiusd.conf").write_text(text)
    argv = ("freeradius", "-f", "-X", "-d", folder, "-D", "/usr/share/freeradius")
    programs.start("radius", *argv)
    log = programs.folder / "radius.log"
    wait_for("FreeRADIUS", lambda: "Ready to process requests" in log.read_text(), 60.0)
    return port


def asked(port: int, mac: str, folder: Path) -> dict[str, str]:
    """What the server answers a switch about a MAC address: attributes by name."""
    request = folder / "request"
    request.write_text(
        f'User-Name = "{mac}"\nCalling-Station-Id = "{mac}"\nMessage-Authenticator = 0x00\n'
    )
    argv = ["radclient", "-x", "-t", "30", "-r", "1", "-f", str(request)]
    done = subprocess.run(
        [*argv, f"127.0.0.1:{port}", "auth", SECRET],
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": _PATH},
    )
    _, _, answer = done.stdout.partition("Received Access-Accept")
    pairs = (line.strip().partition(" = ") for line in answer.splitlines()[1:])
    return {name.partition(":")[0]: value.strip('"') for name, _, value in pairs if value}
