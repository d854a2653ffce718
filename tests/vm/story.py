"""What happens to a real machine's agent, from its first boot to its last: each step gives what was
seen. It judges nothing; `test_vm.py` does.
"""

import contextlib
import hashlib
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

import cv2

from framegate_simulators.boards.boards import draw_board
from framegate_simulators.boards.camera import part_type, write_golden
from framegate_simulators.plant.plant import Plant
from vm.disk import CONTROLLER, PACKAGES, ROOT, Disk
from vm.machine import VirtualMachine
from vm.update import next_of

sys.path.insert(0, str(ROOT / "scripts"))
from packaged.reference_values import allowlist_of

MODEL = "debian-camera"
DESIGN = 3
INTERVAL_S = 30.0
SOON_S = 1200.0
"""What an emulated machine on a busy one may take for what takes a real one seconds."""
STATE = "/var/lib/framegate-agent/"


class Story:
    """A plant on this machine, and a camera's machine that is real but for being virtual."""

    def __init__(self, folder: Path, plant: Plant) -> None:
        self.folder, self.plant = folder, plant
        self.disk = Disk(folder / "disk")
        self.seen: dict[str, Any] = {}
        self.machine: VirtualMachine

    def tell(self) -> dict[str, Any]:
        """All of it; what was seen so far where a step fails, under `fault`."""
        with contextlib.ExitStack() as stack:
            try:
                self._prepare(stack)
                for step in (
                    self.first_boot,
                    self.adopted,
                    self.streams,
                    self.reboot,
                    self.upgrade,
                    self.changed_file,
                    self.changed_command_line,
                    self.controller_in_the_tpm,
                ):
                    begun = time.monotonic()
                    self.seen[step.__name__] = step()
                    self.seen[f"seconds {step.__name__}"] = round(time.monotonic() - begun)
                    print(f"{step.__name__}: {self.seen[step.__name__]}", flush=True)
            except Exception as error:  # what came before is worth reading
                self.seen["fault"] = f"{type(error).__name__}: {error}"
                with contextlib.suppress(Exception):
                    self.seen["journal"] = self.machine.run(
                        "journalctl --no-pager -n 60 -u framegate-agent", check=False
                    )
        return self.seen

    def _prepare(self, stack: contextlib.ExitStack) -> None:
        p = self.plant
        frames, golden = self.folder / "frames", self.folder / "golden"
        frames.mkdir()
        golden.mkdir()
        write_golden(golden, [DESIGN])
        for number in range(4):
            board = draw_board(number, design=DESIGN, defects=number % 2, clean_capture=True)
            cv2.imwrite(str(frames / f"board-{number}.png"), board.frame)
        debs, controller = _packages(PACKAGES), _packages(CONTROLLER)
        self.update = [next_of(deb, self.folder) for deb in debs]
        settings = {"source": ["folder:/srv/frames"], "part_type": part_type(DESIGN)}
        later = {"upgrade": self.update, "controller": controller}
        self.disk.make(debs, frames, later, {**settings, "repeat": True, "rate": 1.0})
        p.found_fleet()
        p.start_controller()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        gateway = p.add_machine("gw1", "gateway")
        p.join(gateway, p.invite(gateway))
        p.start_agent(gateway)
        p.start_gateway(gateway, golden=[golden])
        self.ports = (p.join_port, p.fleet_port, p.gateway_ports(gateway)[0])
        self.machine = VirtualMachine(self.folder, self.disk, p.maker)
        stack.callback(self.machine.close)

    def first_boot(self) -> dict[str, Any]:
        """It boots, its agent looks around, joins under a profile that it does not satisfy."""
        took, m, p = self._boot(), self.machine, self.plant
        doctor = m.run(
            "NO_COLOR=1 runuser -u framegate-agent -- framegate-agent doctor", check=False
        )
        ek = m.run("runuser -u framegate-agent -- framegate-agent ek")
        (ek_hash,) = re.findall(r"\b[0-9a-f]{64}\b", ek)
        ticket = p.folder / "cam1.ticket"
        p.framegate(
            "camera",
            "invite",
            "cam1",
            "--profile",
            "simulated-camera",
            "--ek-hash",
            ek_hash,
            "--out",
            ticket,
        )
        m.put("/run/cam1.ticket", ticket.read_bytes(), "framegate-agent")
        joined = m.run(
            "runuser -u framegate-agent -- framegate-agent join /run/cam1.ticket", check=False
        )
        state = self._state()
        keep_evidence(m, self.folder)
        return {"took_s": round(took), "doctor": doctor, "join": joined, "state": state}

    def adopted(self) -> dict[str, Any]:
        """A profile is learned from it, with every file of its disk allowed, and assigned."""
        p, base, new = self.plant, self.folder / "base.allowlist", self.folder / f"{MODEL}.toml"
        p.framegate("profile", "allowlist", self.disk.checksums, "--out", base)
        p.framegate(
            "profile", "learn", "--from", "cam1", "--name", MODEL, "--base", base, "--out", new
        )
        text = new.read_text()
        if "exclude" not in text:
            new.write_text(text.replace("[ima]\n", f'[ima]\nexclude = ["{STATE}"]\n', 1))
        lint = p.framegate("profile", "lint", new, check=False).stdout
        key = self.folder / "carla.pem"
        p.command(
            "framegate-controller",
            "profile",
            "signer",
            "carla",
            "--out",
            key,
            "--state",
            p.folder / "controller",
        )
        self._sign(new)
        p.framegate(
            "profile", "import", f"{new}.signed", "--allowlist", new.with_suffix(".allowlist")
        )
        p.framegate("camera", "profile", "cam1", MODEL)
        self.machine.run("systemctl restart framegate-agent")
        p.framegate("camera", "release", "cam1", "--reason", "learned")
        state = self._until("trusted")
        self.adopted_at = len(self._suspicions())
        return {"state": state, "lint": lint, "why": self._why()}

    def streams(self) -> dict[str, Any]:
        """Its frames are inspected at the gateway."""
        verdicts = self._wait("verdicts of its frames", self._verdicts)
        return {"outcomes": sorted({v["outcome"] for v in verdicts}), "state": self._state()}

    def reboot(self) -> dict[str, Any]:
        """Off and on again."""
        self.machine.power_off()
        took = self._boot()
        state = self._until("trusted")
        return {"took_s": round(took), "state": state, "alarms": self._alarms()}

    def upgrade(self) -> dict[str, Any]:
        """The next version of its packages, announced by a rollout."""
        p, new = self.plant, self.folder / f"{MODEL}-2.toml"
        lists = []
        for deb in self.update:
            file = self.folder / f"{deb.name}.allowlist"
            file.write_bytes(allowlist_of(deb))
            lists += ["--allowlist", file]
        text = (self.folder / f"{MODEL}.toml").read_text()
        listed = "".join(f'"{_digest(file)}", ' for file in lists[1::2])
        text = text.replace("allowlists = [", f"allowlists = [{listed}", 1)
        text = re.sub(r"(?m)^revision = 1$", "revision = 2", text, count=1)
        new.write_text(text)
        self._sign(new)
        p.framegate("profile", "import", f"{new}.signed", *lists, "--for-rollout")
        rollout = p.ask("rollout", "start", MODEL, "--canary", 1, "--waves", "100", "--soak", "5s")
        told = self.machine.run("dpkg -i /srv/upgrade/*.deb")
        runs = self.machine.run("dpkg-query -W framegate-agent")
        self._wait("the agent's new files in the evidence", lambda: self._rolled(rollout))
        status = p.ask("rollout", "status", rollout["rollout"])
        # an emulated machine is late with all the files that it has just measured
        state = self._until("trusted")
        return {
            "installed": runs,
            "dpkg": told[-400:],
            "rollout": status,
            "state": state,
            "alarms": self._alarms(),
        }

    def changed_file(self) -> dict[str, Any]:
        """A program that nobody knows runs; then the machine is mended."""
        self.machine.run(
            "cp /usr/bin/true /usr/local/bin/odd; echo >> /usr/local/bin/odd; /usr/local/bin/odd"
        )
        state = self._until("suspect")
        why = self._why()
        self.machine.run("rm /usr/local/bin/odd")
        self.machine.power_off()
        self._boot()
        self.plant.framegate("camera", "release", "cam1", "--reason", "mended")
        return {"state": state, "why": why, "mended": self._until("trusted")}

    def changed_command_line(self) -> dict[str, Any]:
        """The boot loader hands the kernel another command line."""
        self.machine.power_off()
        self.disk.boot_with("module.sig_enforce=0")
        self._boot()
        return {"state": self._until("suspect"), "why": self._why()}

    def controller_in_the_tpm(self) -> dict[str, Any]:
        """A controller of its own beside the agent, whose CAs' keys are in this machine's TPM: what
        its unit lets it do, with the drop-in of its package and without.
        """
        run, unit = self.machine.run, "framegate-controller"
        run("dpkg -i /srv/controller/*.deb")
        secret = f"/etc/framegate/credentials/{unit.removeprefix('framegate-')}-passphrase"
        run(f"umask 077; echo a passphrase that is long enough > {secret}")
        run(f"install -m 600 -o {unit} {secret} /run/passphrase")
        run("echo correct horse battery staple > /run/password; chmod 644 /run/password")
        init = run(
            f"runuser -u {unit} -- {unit} init --operator anna --password-file /run/password"
            " --passphrase-file /run/passphrase --ca-keys tpm:device:/dev/tpmrm0 -o json"
        )
        run(f"systemctl start {unit}")
        show = f"systemctl show {unit} -pActiveState -pStatusText -pSubState"
        after = run(show)
        dropin = f"/run/systemd/system/{unit}.service.d/10-tpm.conf"
        run(f"mkdir -p {Path(dropin).parent}; ln -s /dev/null {dropin}; systemctl daemon-reload")
        run(f"systemctl restart {unit}", check=False)
        without = run(show)
        told = run(f"journalctl -o cat --no-pager -n 20 -u {unit}")
        run(f"systemctl stop {unit}")
        return {"init": init[-300:], "with": after, "without": without, "journal": told}

    def _boot(self) -> float:
        took = self.machine.power_on()
        ports = " ".join(f"plant@{port}.socket" for port in self.ports)
        self.machine.run(f"systemctl start {ports}")
        return took

    def _sign(self, profile: Path) -> None:
        self.plant.framegate("profile", "sign", profile, "--key", self.folder / "carla.pem")

    def _state(self) -> str:
        return str(self.plant.ask("camera", "show", "cam1")["state"])

    def _why(self) -> str:
        return self.plant.framegate("camera", "why", "cam1", check=False).stdout

    def _until(self, state: str) -> str:
        self._wait(state, lambda: self._state() == state)
        return state

    def _wait(self, what: str, done: Any) -> Any:
        end = time.monotonic() + SOON_S
        while not (answer := done()):
            if time.monotonic() > end:
                raise TimeoutError(f"{what} did not come; {self._state()}: {self._why()}")
            time.sleep(1)
        return answer

    def _verdicts(self) -> list[dict[str, Any]]:
        told = self.plant.ask("verdict", "list", "--camera", "cam1")
        rows = told["verdicts"] if isinstance(told, dict) else told
        return [r for r in rows if r["outcome"].upper() in {"PASS", "DEFECT"}]

    def _rolled(self, rollout: dict[str, Any]) -> bool:
        devices = self.plant.ask("rollout", "status", rollout["rollout"])["devices"]
        return any(d["seen"] == "updated" for d in devices)

    def _suspicions(self) -> list[dict[str, Any]]:
        told = self.plant.ask("events", "--device", "cam1", "--all", "--limit", 1000)
        rows = told["events"] if isinstance(told, dict) else told
        return [r for r in rows if "suspect" in json.dumps(r)]

    def _alarms(self) -> int:
        """Times the machine became suspect since it was first trusted."""
        return len(self._suspicions()) - self.adopted_at


def _packages(names: tuple[str, ...]) -> list[Path]:
    return [next((ROOT / "build/packages").glob(f"{name}_*.deb")) for name in names]


def _digest(file: Path) -> str:
    return f"sha256:{hashlib.sha256(file.read_bytes()).hexdigest()}"


def keep_evidence(machine: VirtualMachine, into: Path) -> None:
    """What the machine's kernel and firmware logged, for tests of the parsers."""
    into.mkdir(parents=True, exist_ok=True)
    for name, path in (
        ("boot_log", "/sys/kernel/security/tpm0/binary_bios_measurements"),
        ("ima", "/sys/kernel/security/ima/binary_runtime_measurements"),
    ):
        (into / name).write_bytes(machine.get(path))
