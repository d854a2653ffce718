"""Runs as root inside a container whose first process is a real systemd, and writes down what it
sees: one JSON object, name to what came. It judges nothing; `test_units.py` does.

Packages are installed as a plant has them. TPMs, machines and the PLC's side are the simulators',
out of the checkout.
"""

import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import traceback
from pathlib import Path

from bundles import bundles
from hand import BIN, LAB, confined, framegate, journal, run, seen, show, wait
from hardware_token import token

WATCHED = ("controller", "agent", "gateway", "console")
LINE = "press-7"
WATCHDOG_S = 15


def setting(unit, **values):
    path = Path(f"/etc/framegate/{unit}.toml")
    lines = [f"{name} = {json.dumps(value)}" for name, value in values.items()]
    path.write_text("\n".join([path.read_text(), *lines]) + "\n")


def start(unit):
    """By systemd, which waits until it is ready; the seconds are kept."""
    begun = time.monotonic()
    run("systemctl", "start", f"framegate-{unit}")
    seen.setdefault("starts", {})[unit] = round(time.monotonic() - begun, 1)


def found():
    """A fleet, its keys' passphrase where root alone reads it, its controller as a service."""
    (LAB / "password").write_text("correct horse battery staple\n")
    secret = Path("/etc/framegate/credentials/controller-passphrase")
    secret.write_text("a passphrase that is long enough\n")
    secret.chmod(0o600)
    mine = LAB / "init-passphrase"
    shutil.copy(secret, mine)
    mine.chmod(0o600)
    shutil.chown(mine, "framegate-controller")
    shutil.chown(LAB / "password", "framegate-controller")
    shutil.chown(LAB, "framegate-controller")
    founded = run(
        "framegate-controller",
        "init",
        "--operator",
        "anna",
        "--password-file",
        LAB / "password",
        "--passphrase-file",
        mine,
        "--context",
        LAB / "op.json",
        "-o",
        "json",
        user="framegate-controller",
    )
    for kind in ("camera", "gateway"):
        base = f"{os.environ['CHECKOUT']}/firmware_profiles/simulators-{kind}-1.0.0"
        run(
            "framegate-controller",
            "profile",
            "add",
            f"{base}.toml",
            "--allowlist",
            f"{base}.allowlist",
            "--passphrase-file",
            mine,
            user="framegate-controller",
        )
    shutil.chown(LAB / "op.json", "root")
    shutil.copy(LAB / "op.json", "/etc/framegate/fleet.json")  # before anybody's session is in it
    Path("/etc/framegate/fleet.json").chmod(0o644)
    start("controller")
    seen["controller"] = {
        **show("controller", "ActiveState", "StatusText"),
        **confined("controller"),
    }
    code = run(BIN / "framegate-sim", "code", json.loads(founded.stdout)["totp_uri"])
    framegate("login", "anna", "--password-file", LAB / "password", "--code", code.stdout.strip())


def gateway_host():
    """A machine with a software TPM joins; its agent and a gateway beside it run as services."""
    folder = LAB / "gw1"
    log = (LAB / "machine.json").open("w")
    subprocess.Popen(
        [
            BIN / "framegate-sim",
            "machine",
            folder,
            "--model",
            "simulated-gateway",
            "--maker",
            LAB / "maker",
        ],
        cwd=LAB,
        stdout=log,
    )
    told = json.loads(wait("a machine", lambda: (LAB / "machine.json").read_text().strip()))
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "framegate-agent", "framegate-agent")
    framegate("trust", "add-tpm-ca", told["maker_ca"])
    ek = run("framegate-agent", "ek", "--tcti", told["tcti"], user="framegate-agent").stdout.strip()
    framegate(
        "gateway",
        "invite",
        "gw1",
        "--profile",
        "simulated-gateway",
        "--ek-hash",
        ek,
        "--out",
        LAB / "gw1.ticket",
    )
    shutil.chown(LAB / "gw1.ticket", "framegate-agent")
    joined = run(
        "framegate-agent",
        "join",
        LAB / "gw1.ticket",
        "--tcti",
        told["tcti"],
        "--boot-log",
        told["boot_log"],
        "--ima",
        told["ima"],
        user="framegate-agent",
        check=False,
    )
    seen["join"] = joined.stderr
    setting("agent", gateway_socket="/run/framegate/agent.sock", gateway_uid=[6471])
    start("agent")
    seen["agent"] = {
        "StatusText": wait(
            "a trusted agent",
            lambda: (t := show("agent", "StatusText")["StatusText"]).endswith("is trusted") and t,
        ),
        **confined("agent"),
    }
    start("gateway")
    seen["gateway"] = {
        "StatusText": wait(
            "a gateway that its host warrants for",
            lambda: (t := show("gateway", "StatusText")["StatusText"]).startswith("serves") and t,
        ),
        **confined("gateway"),
        "journal": journal("gateway"),
    }


def console():
    """The web console, on loopback as it comes."""
    start("console")
    said = {"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    browser = http.client.HTTPConnection("127.0.0.1", 8090, timeout=60)
    browser.request("GET", "/signin", headers=said)
    page = browser.getresponse()
    seen["console"] = {
        **show("console", "ActiveState", "StatusText"),
        **confined("console"),
        "page": [page.status, page.headers["content-security-policy"]],
    }
    seen["reload console"] = run("systemctl", "reload", "framegate-console", check=False).returncode


def reloads():
    """SIGHUP by `systemctl reload`: a right file, then a wrong one."""
    setting("controller", verbose=True)
    run("systemctl", "reload", "framegate-controller")
    right = show("controller", "ActiveState", "StatusText")
    wait("a line at INFO", lambda: " INFO " in journal("controller"), 30)
    setting("controller", verbos=True)
    run("systemctl", "reload", "framegate-controller")
    wrong = show("controller", "ActiveState", "NRestarts")
    told = wait(
        "what is wrong", lambda: "verbos" in journal("controller") and journal("controller")
    )
    seen["reload"] = {"right": right, "wrong": wrong, "journal": told}
    path = Path("/etc/framegate/controller.toml")
    path.write_text(path.read_text().replace("verbos = true\n", ""))
    seen["reload agent"] = run("systemctl", "reload", "framegate-agent", check=False).returncode
    seen["reload gateway"] = run("systemctl", "reload", "framegate-gateway", check=False).returncode


def watchdogs():
    """A process that stands still, as one whose loop hangs does."""
    for unit in WATCHED:
        folder = Path(f"/run/systemd/system/framegate-{unit}.service.d")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "50-soon.conf").write_text(f"[Service]\nWatchdogSec={WATCHDOG_S}\n")
    run("systemctl", "daemon-reload")
    for unit in WATCHED:
        run("systemctl", "restart", f"framegate-{unit}")
        before = show(unit, "MainPID", "NRestarts")
        os.kill(int(before["MainPID"]), signal.SIGSTOP)

        def again(unit=unit, before=before):
            now = show(unit, "MainPID", "NRestarts", "ActiveState")
            return now["ActiveState"] == "active" and now["MainPID"] != before["MainPID"] and now

        after = wait(f"another {unit}", again)
        seen[f"watchdog {unit}"] = {
            "restarts": int(after["NRestarts"]) - int(before["NRestarts"]),
            "journal": "Watchdog timeout" in run("journalctl", "--no-pager").stdout,
        }
    for unit in WATCHED:
        shutil.rmtree(f"/run/systemd/system/framegate-{unit}.service.d")
    run("systemctl", "daemon-reload")
    run("systemctl", "restart", *(f"framegate-{u}" for u in WATCHED))


def line():
    """A stop while a part is under way."""
    sys.path.insert(0, os.environ["CHECKOUT"])
    from framegate_simulators.plant.diverter import Part
    from framegate_simulators.plant.mqtt_diverter import LineKeys, MqttDiverter

    mine = LAB / "init-passphrase"

    def certificate(verb, name, out):
        folder = Path("/var/lib/framegate-controller/lab") / out
        run(
            "framegate-controller",
            verb,
            name,
            "--out",
            folder,
            "--passphrase-file",
            mine,
            user="framegate-controller",
        )
        shutil.copytree(folder, LAB / out)
        return LAB / out

    broker = certificate("server-certificate", "broker", "broker")
    plc = certificate("line-certificate", f"{LINE}-plc", "plc")
    keys = Path("/etc/framegate/line")
    shutil.copytree(certificate("line-certificate", LINE, "line"), keys)
    for path in (keys, *keys.iterdir()):
        shutil.chown(path, "framegate-line", "framegate-line")
    framegate("broker", "acl", "--out", broker / "acl", "--line", LINE, "--line", f"{LINE}-plc")
    framegate(
        "broker",
        "config",
        "--folder",
        broker,
        "--acl",
        broker / "acl",
        "--listen",
        "127.0.0.1:8883",
        "--out",
        broker / "mosquitto.conf",
        "--user",
        "root",
    )
    subprocess.Popen(["mosquitto", "-c", broker / "mosquitto.conf"])
    setting(
        "line",
        line=LINE,
        camera=["camera.line-1.cam1"],
        credentials=str(keys),
        deadline_ms=15000,
        broker="127.0.0.1:8883",
        broker_name="broker.plant.framegate",
    )
    start("line")
    seen["line"] = {**show("line", "ActiveState", "StatusText"), **confined("line")}
    diverter = MqttDiverter(LINE, LineKeys(plc), 8883)

    def status():
        told = run(
            "framegate-line", "status", "--line", LINE, "-o", "json", user="framegate-line"
        ).stdout
        return json.loads(told)

    # a part that is decided: the broker, the adapter and the ledger work
    part = Part("p1", "board", 1, time.time_ns() // 1_000_000, True, 0.0, 0.0)

    def entered(number):
        if status()["parts"] >= number:
            return True
        part.entered_ms = time.time_ns() // 1_000_000
        part.sequence, part.part = number, f"p{number}"
        diverter.trigger(part)
        time.sleep(0.5)
        return status()["parts"] >= number

    wait("a part in the ledger", lambda: entered(1))
    wait("its decision", lambda: status()["open"] == 0)
    begun = status()["parts"]
    wait("a part under way", lambda: entered(begun + 1))
    under_way, since = status(), time.monotonic()
    run("systemctl", "stop", "framegate-line")
    seen["stop"] = {
        "before": under_way,
        "took_s": time.monotonic() - since,
        "after": status(),
        "result": show("line", "Result", "ActiveState"),
    }
    # its deadline is further off than a stop waits: the next start diverts it
    run("systemctl", "start", "framegate-line")
    wait("a decision of the part that was under way", lambda: status()["open"] == 0)
    wait("that decision at the PLC", lambda: len(diverter.decisions) == status()["parts"])
    seen["stop"]["again"] = status()
    run("systemctl", "stop", "framegate-line")
    diverter.close()


def main():
    LAB.mkdir(parents=True, exist_ok=True)
    out = Path(sys.argv[1])
    wanted = sys.argv[2:]
    for step in (found, gateway_host, console, reloads, watchdogs, line, bundles, token):
        if wanted and step.__name__ not in wanted:
            continue
        begun = time.monotonic()
        try:
            step()
        except Exception:  # the others may tell more
            seen.setdefault("fault", {})[step.__name__] = traceback.format_exc()
            seen["journal"] = run("journalctl", "--no-pager", "-n", "300").stdout
        seen[f"seconds {step.__name__}"] = round(time.monotonic() - begun, 1)
        out.write_text(json.dumps(seen, indent=1))
    out.write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
