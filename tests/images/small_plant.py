"""A small plant of the images: the compose file's services, a line and an agent beside them."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding

from framegate.identity.pem import private_pem
from images.composed import HUB, PODMAN, ROOT, Composed, Networks, run
from support.monitoring import issued

BIN = Path(sys.executable).parent
WAIT_S = 240.0
AGENT_GROUP = 6470
PATIENCE, UNAVAILABLE = 20, 7
SERVED = ("controller", "broker", "gateway", "line", "console")
PAGE = """
import http.client, json, ssl, sys
at, path, host = sys.argv[1:]
unverified = ssl._create_unverified_context()
asked = http.client.HTTPSConnection(at, 8443, timeout=20, context=unverified)
said = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
asked.request("GET", path, headers={"Host": host, **said})
came = asked.getresponse()
policy = came.headers.get("Content-Security-Policy", "")
print(json.dumps({"status": came.status, "policy": policy}))
"""
CREDENTIALS = {
    "controller-passphrase": (6472, "a passphrase that is long enough\n"),
    "controller-store-password": (6472, "the password of a store\n"),
    "database-store-password": (6478, "the password of a store\n"),
}


def wait(what, done, log=lambda: ""):
    """Until `done` gives something; what is said where it never does."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        if answer := done():
            return answer
        time.sleep(0.2)
    raise TimeoutError(f"{what}\n{log()[-4000:]}")


def owned(path: Path, uid: int, mode: int) -> Path:
    path.chmod(mode)
    shutil.chown(path, uid, uid)
    return path


class SmallPlant:
    """Use as a context manager: leaving it ends everything and removes the volumes."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.host = folder, folder / "host"
        self.seconds: dict[str, float] = {}
        self._stack = contextlib.ExitStack()
        self._uri = ""

    def __enter__(self) -> "SmallPlant":
        with contextlib.ExitStack() as stack:
            self.networks = stack.enter_context(Networks())
            at = {n: self.networks.address(n) for n in SERVED}
            self.at = at
            over = {
                "controller": {"FRAMEGATE_CONTROLLER_ADVERTISE": at["controller"]},
                "gateway": {"FRAMEGATE_GATEWAY_ADVERTISE": at["gateway"]},
            }
            self.composed = stack.enter_context(Composed(self.host, self.networks, over))
            self._processes = stack.enter_context(contextlib.ExitStack())
            for step in (
                self._secrets,
                self._fleet,
                self._gateway,
                self._broker,
                self._line,
                self._agent,
                self._console,
            ):
                begun = time.monotonic()
                step()
                self.seconds[step.__name__.strip("_")] = round(time.monotonic() - begun, 1)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def hub(self, program: str, *argv: object, check: bool = True):
        """A program of ours on the host, whose network is the bridge's."""
        environment = {**os.environ, "FRAMEGATE_CONTEXT": str(self.folder / "context.json")}
        words = ("ip", "netns", "exec", HUB, BIN / program, *argv)
        for _ in range(PATIENCE):  # a busy machine does not answer each time
            done = run(*words, check=False, env=environment, cwd=self.folder)
            if done.returncode != UNAVAILABLE:
                break
            time.sleep(1)
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    def _left(self, name: str, *argv: object) -> subprocess.Popen:
        """A program on the host that goes on; its output is in a file of its name."""
        out = (self.folder / f"{name}.log").open("w")
        process = subprocess.Popen(
            ["ip", "netns", "exec", HUB, *map(str, argv)], stdout=out, stderr=out, cwd=self.folder
        )

        def end() -> None:
            process.terminate()
            process.wait(30)
            out.close()

        self._processes.callback(end)
        return process

    def _secrets(self) -> None:
        folder = self.host / "etc/framegate/images"
        folder.mkdir(parents=True)
        for name, (uid, text) in CREDENTIALS.items():
            (folder / name).write_text(text)
            owned(folder / name, uid, 0o400)
        for name in ("run/framegate", "etc/framegate/broker"):
            (self.host / name).mkdir(parents=True)
        owned(self.host / "run/framegate", 0, 0o750)
        os.chown(self.host / "run/framegate", 0, AGENT_GROUP)

    def _fleet(self) -> None:
        composed = self.composed
        self._healthy("database")
        password = self.folder / "password"
        password.write_text("correct horse battery staple\n")
        owned(password, 6472, 0o400)
        at = self.at["controller"]
        given = ("--volume", f"{password}:/run/secrets/password:ro")
        told = composed.once(
            "controller",
            *("init", "--operator", "anna", "--password-file", "/run/secrets/password"),
            *("--join-address", f"{at}:7443", "--fleet-address", f"{at}:7444", "-o", "json"),
            extra=given,
        )
        self._uri = json.loads(told)["totp_uri"]
        profiles = ("--volume", f"{ROOT / 'firmware_profiles'}:/profiles:ro")
        for kind in ("camera", "gateway"):
            base = f"/profiles/simulators-{kind}-1.0.0"
            argv = ("profile", "add", f"{base}.toml", "--allowlist", f"{base}.allowlist")
            composed.once("controller", *argv, extra=profiles)
        self._healthy("controller")
        context = composed.volume("controller") / "context.json"
        shutil.copy(context, self.folder / "context.json")
        # the registry is in the database
        assert not (composed.volume("controller") / "registry.db").exists()

        def signed_in() -> bool:
            code = run(BIN / "framegate-sim", "code", self._uri).stdout.strip()
            argv = ("login", "anna", "--password-file", password, "--code", code)
            return self.hub("framegate", *argv, check=False).returncode == 0

        wait("a session", signed_in)

    def machine(self, name: str, kind: str) -> dict[str, str]:
        """A machine with a TPM of software, invited; what it is called and where its ticket is."""
        model = f"simulated-{kind}"
        folder = self.folder / name
        argv = ("machine", folder, "--model", model, "--maker", self.folder / "maker")
        self._left(f"{name}-machine", BIN / "framegate-sim", *argv)
        log = self.folder / f"{name}-machine.log"
        told = json.loads(wait("a machine", lambda: log.read_text().strip(), log.read_text))
        self.hub("framegate", "trust", "add-tpm-ca", told["maker_ca"], check=False)
        ek = self.hub("framegate-agent", "ek", "--tcti", told["tcti"]).stdout.strip()
        ticket = self.folder / f"{name}.ticket"
        argv = ("invite", name, "--profile", model, "--ek-hash", ek, "--out", ticket)
        self.hub("framegate", kind, *argv)
        return {**told, "ticket": str(ticket)}

    def _gateway(self) -> None:
        told = self.machine("gw1", "gateway")
        logs = ("--tcti", told["tcti"], "--boot-log", told["boot_log"], "--ima", told["ima"])
        state = ("--state", self.folder / "gw1-agent")
        self.hub("framegate-agent", "join", told["ticket"], *state, *logs)
        image = "localhost/framegate-gateway"
        read = ("--entrypoint", "sha256sum", image, "/usr/bin/python3.11")
        limits = ("--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096")
        digest = run(*PODMAN, "run", "--rm", "--network=none", *limits, *read)
        socket = self.host / "run/framegate/agent.sock"
        self._left(
            "gw1-agent",
            *("setpriv", f"--regid={AGENT_GROUP}", "--clear-groups", BIN / "framegate-agent"),
            *("run", *state, *logs, "--gateway-socket", socket, "--gateway-uid", "6471"),
            *("--gateway-program-sha256", digest.stdout.split()[0]),
        )
        self.composed.start("gateway")
        wait(
            "a gateway that its host warrants for",
            lambda: "warranted by gateway.line-1.gw1" in self.composed.log("gateway"),
            lambda: self.composed.log("gateway") + (self.folder / "gw1-agent.log").read_text(),
        )

    def _broker(self) -> None:
        name = "/var/lib/framegate-controller/broker"
        made = ("server-certificate", "broker", "--out", name)
        self.composed.inside("controller", "framegate-controller", *made)
        broker = self.host / "etc/framegate/broker"
        shutil.copytree(self.composed.volume("controller") / "broker", broker, dirs_exist_ok=True)
        lines = ("--line", "press-7", "--line", "press-7-plc")
        self.hub("framegate", "broker", "acl", "--out", broker / "acl", *lines)
        there = ("--folder", "/etc/framegate/broker", "--acl", "/etc/framegate/broker/acl")
        self.hub("framegate", "broker", "config", *there, "--out", broker / "mosquitto.conf")
        for path in (broker, *broker.iterdir()):
            owned(path, 6479, 0o700 if path.is_dir() else 0o400)
        self._healthy("broker")

    def _line(self) -> None:
        """Beside a PLC, and so not in the compose file: the same closure by hand."""
        out = "/var/lib/framegate-controller/line"
        made = ("line-certificate", "press-7", "--out", out)
        self.composed.inside("controller", "framegate-controller", *made)
        keys = self.folder / "line-keys"
        shutil.copytree(self.composed.volume("controller") / "line", keys)
        for path in (keys, *keys.iterdir()):
            owned(path, 6473, 0o700 if path.is_dir() else 0o400)
        settings = {
            "LINE": "press-7",
            "CAMERA": "camera.line-1.cam1",
            "CREDENTIALS": "/etc/framegate/line",
            "BROKER": f"{self.at['broker']}:8883",
            "BROKER_NAME": "broker.plant.framegate",
        }
        self._beside("line", settings)
        self._healthy("line", ("--volume", f"{keys}:/etc/framegate/line:ro"))

    def _agent(self) -> None:
        """On a plain camera's host, with the TPM's socket as others have its device."""
        told = self.machine("cam1", "camera")
        folder = self.folder / "cam1"
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, AGENT_GROUP, AGENT_GROUP)
        ticket = owned(Path(told["ticket"]), AGENT_GROUP, 0o400)
        settings = {"TCTI": told["tcti"], "BOOT_LOG": told["boot_log"], "IMA": told["ima"]}
        self._beside("agent", settings)
        there = ("--volume", f"{folder}:{folder}")
        with_ticket = (*there, "--volume", f"{ticket}:/run/ticket:ro")
        self.composed.once("agent", "join", "/run/ticket", extra=with_ticket)
        self._healthy("agent", there)

    def _console(self) -> None:
        """Where the fleet is, and a certificate of the plant's own: what the compose file names."""
        etc = self.host / "etc/framegate"
        shutil.copy(self.composed.volume("controller") / "context.json", etc / "fleet.json")
        (etc / "fleet.json").chmod(0o644)
        key, certificate = issued("console.plant.example")
        folder = etc / "console"
        folder.mkdir()
        (folder / "console.key").write_bytes(private_pem(key))
        (folder / "console.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
        for path in (folder, *folder.iterdir()):
            owned(path, 6475, 0o700 if path.is_dir() else 0o400)
        self._healthy("console")

    def page(self, path: str, host: str) -> dict[str, object]:
        """What a browser in the plant gets."""
        argv = ("-c", PAGE, self.at["console"], path, host)
        return json.loads(self.hub("python", *argv).stdout)

    def _beside(self, name: str, settings: dict[str, str]) -> None:
        """A service that the compose file has not, closed as its services are."""
        closed = dict(self.composed.services["x-closed"])
        environment = {f"FRAMEGATE_{name.upper()}_{k}": v for k, v in settings.items()}
        image = f"localhost/framegate-{name}:latest"
        state = f"{name}:/var/lib/framegate-{name}"
        closed |= {"image": image, "environment": environment, "volumes": [state]}
        self.composed.services["services"][name] = closed

    def _healthy(self, name: str, extra: tuple[object, ...] = ()) -> None:
        """Start a service, and wait until its own health check is content."""
        composed = self.composed
        composed.start(name, extra=extra)
        wait(name, lambda: composed.healthy(name), lambda: composed.log(name))
