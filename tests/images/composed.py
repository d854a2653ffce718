"""Container images as a small plant runs them: networks between them, and what the compose file
says of each, done by podman. There is no registry, and no program that reads compose files.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
COMPOSE = ROOT / "packaging/images/compose.yaml"
PREFIX = f"fgi{os.getpid()}-"
HUB = f"{PREFIX}hub"
HOST = "10.89.77.1"
PODMAN = ("podman", "--runtime", "/usr/sbin/runc")
PLAIN = {"image", "restart", "stop_grace_period", "depends_on", "ports"}
"""What is said elsewhere, or is a supervisor's: the test starts, and asks for health, by itself."""


def lacking() -> str:
    """Why no image can be built or run here, in words; empty where one can."""
    if os.geteuid():
        return "only root builds images here"
    for program in ("mmdebstrap", "podman", "buildah", "runc", "ip", "swtpm", "dpkg-deb"):
        if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
            return f"{program} is not installed (mmdebstrap, podman, buildah, runc, swtpm)"
    if subprocess.run(["unshare", "--net", "true"], check=False).returncode:
        return "this machine allows no namespaces"
    return ""


def run(*argv, check=True, **more):
    done = subprocess.run(
        [str(a) for a in argv], check=False, capture_output=True, text=True, **more
    )
    if check and done.returncode:
        raise RuntimeError(
            f"{' '.join(map(str, argv))}: {done.returncode}\n{done.stdout}{done.stderr}"
        )
    return done


class Networks:
    """A network of this test's own: a bridge, the host's end of it, and an end for each container.
    Nothing of it reaches the machine's network.
    """

    def __init__(self) -> None:
        self._ends: list[str] = []

    def __enter__(self) -> "Networks":
        run("ip", "netns", "add", HUB)
        for words in (
            "link set lo up",
            "link add br0 type bridge",
            f"addr add {HOST}/24 dev br0",
            "link set br0 up",
        ):
            run("ip", "-n", HUB, *words.split())
        return self

    def address(self, name: str) -> str:
        """Where the container `name` is; its end is made when it is first asked for."""
        if name not in self._ends:
            self._ends.append(name)
            end, port = f"{PREFIX}{name}", f"v{len(self._ends)}"
            run("ip", "netns", "add", end)
            link = f"link add {port} type veth peer name eth0 netns {end}"
            run("ip", "-n", HUB, *link.split())
            run("ip", "-n", HUB, *f"link set {port} master br0 up".split())
            run("ip", "-n", end, *f"addr add {self._of(name)}/24 dev eth0".split())
            for device in ("lo", "eth0"):
                run("ip", "-n", end, "link", "set", device, "up")
        return self._of(name)

    def _of(self, name: str) -> str:
        return f"10.89.77.{10 + self._ends.index(name)}"

    def __exit__(self, *_: object) -> None:
        for end in [f"{PREFIX}{name}" for name in self._ends] + [HUB]:
            run("ip", "netns", "delete", end, check=False)


class Composed:
    """The services of the compose file, by name. `host` is the folder that is the host's root:
    files that the compose file names lie below it. `over` are settings of this test's.
    """

    def __init__(self, host: Path, networks: Networks, over: dict[str, dict[str, str]]) -> None:
        self.services = yaml.safe_load(COMPOSE.read_text())
        self.host, self.networks, self._over = host, networks, over
        self.started: list[str] = []

    def __enter__(self) -> "Composed":
        return self

    def __exit__(self, *_: object) -> None:
        for name in self.started:
            run(*PODMAN, "rm", "-f", "-t", "1", f"{PREFIX}{name}", check=False)
        volumes = run(*PODMAN, "volume", "ls", "-q").stdout.split()
        for volume in volumes:
            if volume.startswith(PREFIX):
                run(*PODMAN, "volume", "rm", "-f", volume, check=False)

    def start(self, name: str, *command: object, extra: tuple[object, ...] = ()) -> None:
        """A service as the file says, left running."""
        self.started.append(name)
        words = ("--detach", "--name", f"{PREFIX}{name}", *extra)
        self._podman(name, words, command)

    def once(self, name: str, *command: object, extra: tuple[object, ...] = ()) -> str:
        """One command of a service's image, under everything that the file says of the service."""
        return self._podman(name, ("--rm", *extra), command).stdout

    def _podman(self, name, words, command):
        service = self.services["services"][name]
        network = f"ns:/run/netns/{PREFIX}{name}"
        if service.get("network_mode") == "none":
            network = "none"
        else:
            self.networks.address(name)
        given = [*PODMAN, "run", "--pull=never", "--network", network, *words]
        given += [str(word) for part in self._flags(name, service) for word in part]
        own = command or service.get("command", ())
        return run(*given, service["image"], *own)

    def _flags(self, name, service):
        """Each key of a service as podman's options; one that nobody knows is a fault."""
        environment = dict(service.get("environment", {})) | self._over.get(name, {})
        yield from (("--env", f"{key}={value}") for key, value in environment.items())
        ulimits = {"nofile": {"soft": 1024, "hard": 1024}} | service.get("ulimits", {})
        for key, value in ulimits.items():
            yield "--ulimit", f"{key}={value['soft']}:{value['hard']}"
        yield "--ulimit", "nproc=4096:4096"
        for key, value in service.items():
            if key in PLAIN | {"environment", "ulimits", "network_mode", "command"}:
                continue
            yield from getattr(self, f"_{key}")(value)

    def _read_only(self, value):
        yield ("--read-only",) if value else ()

    def _cap_drop(self, value):
        yield from (("--cap-drop", each) for each in value)

    def _security_opt(self, value):
        yield from (("--security-opt", each.removesuffix(":true")) for each in value)

    def _tmpfs(self, value):
        yield from (("--tmpfs", each) for each in value)

    def _group_add(self, value):
        yield from (("--group-add", each) for each in value)

    def _volumes(self, value):
        for each in value:
            source, _, rest = each.partition(":")
            where = f"{self.host}{source}" if source.startswith("/") else f"{PREFIX}{source}"
            yield "--volume", f"{where}:{rest}"

    def _secrets(self, value):
        for each in value:
            file = f"{self.host}{self.services['secrets'][each]['file']}"
            yield "--volume", f"{file}:/run/secrets/{each}:ro"

    def healthy(self, name: str) -> bool:
        """Whether the image's own health check says so."""
        return run(*PODMAN, "healthcheck", "run", f"{PREFIX}{name}", check=False).returncode == 0

    def inside(self, name: str, *argv: object, check: bool = True):
        """A command in a running container, as its user."""
        return run(*PODMAN, "exec", f"{PREFIX}{name}", *argv, check=check)

    def log(self, name: str) -> str:
        told = run(*PODMAN, "logs", f"{PREFIX}{name}", check=False)
        return told.stdout + told.stderr

    def of(self, name: str) -> dict:
        """What podman knows of a container."""
        return json.loads(run(*PODMAN, "inspect", f"{PREFIX}{name}").stdout)[0]

    def volume(self, name: str) -> Path:
        """Where a named volume lies."""
        told = run(*PODMAN, "volume", "inspect", f"{PREFIX}{name}").stdout
        return Path(json.loads(told)[0]["Mountpoint"])
