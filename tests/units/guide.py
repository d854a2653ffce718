"""Follows docs/guides/operators/install.md on a bare machine without a network, block by block as
it stands, and writes down what came. It judges nothing; `test_guides.py` does.

What no container has is stood in for: a TPM (its address comes by environment variables), a source
of time (what systemd-timesyncd leaves where it has one), and the time until a gateway serves.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
import traceback
from pathlib import Path

ROOT = Path(os.environ["CHECKOUT"])
sys.path[:0] = [str(ROOT / "scripts"), str(ROOT / "tests/units")]
from typed import Typist  # noqa: E402 - as above

from blocks import Kind, page_of  # noqa: E402 - found by the line above

BIN = Path(sys.executable).parent
PAGE = ROOT / "docs/guides/operators/install.md"
RELEASE, MACHINE = Path("/srv/release"), Path("/run/gw1")
TOTP_STEP_S = 30
PASSWORD = "correct horse battery staple"
seen: dict[str, object] = {"blocks": {}}


def sections(mark: str = "## ") -> dict[str, list]:
    """The blocks that are run, by the heading with this `mark` that they stand under."""
    text = PAGE.read_text()
    headings = [
        (number, line.removeprefix(mark))
        for number, line in enumerate(text.splitlines(), start=1)
        if line.startswith((mark, "## "))
    ]
    under: dict[str, list] = {title: [] for _, title in headings}
    for block in page_of("install.md", text).blocks:
        if block.kind is Kind.RUN:
            title = [title for number, title in headings if number < block.at][-1]
            under[title].append(block)
    return under


def code(shown: str) -> str:
    """What an authenticator shows, which took the address that `init` showed."""
    address = "".join(re.findall(r"otpauth://[^\s│]+", shown)[-1:])
    argv = [BIN / "framegate-sim", "code", address]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def wait(what, done, seconds=240.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := done():
            return answer
        time.sleep(0.2)
    raise TimeoutError(what)


def journal(unit: str) -> str:
    argv = ["journalctl", "-o", "cat", "--no-pager", "-u", unit]
    return subprocess.run(argv, check=False, capture_output=True, text=True).stdout


def plug_in(model: str = "simulated-gateway") -> None:
    """The machine's TPM, once there is a user to open it, and a clock that somebody sets."""
    clock = Path("/run/systemd/timesync/synchronized")
    clock.parent.mkdir(parents=True, exist_ok=True)
    clock.touch()
    out = Path("/run/machine.json")
    argv = [BIN / "framegate-sim", "machine", MACHINE, "--model", model]
    with out.open("w") as log:
        subprocess.Popen([*argv, "--maker", RELEASE / "maker"], stdout=log, cwd="/run")
    wait("a machine", lambda: out.read_text().strip())
    subprocess.run(["chown", "-R", "framegate-agent:", MACHINE], check=True)


def lose_the_controller() -> None:
    """Its machine is gone with all that was on it; what was kept elsewhere is beside a release."""
    state, settings = Path("/var/lib/framegate-controller"), Path("/etc/framegate/controller.toml")
    secret = Path("/etc/framegate/credentials/controller-passphrase")
    backup, head = Path("/mnt/backup/fleet.tar"), Path("/var/lib/framegate-gateway/record-head")
    for kept in (backup, settings, head, Path("/etc/framegate/fleet.json")):
        shutil.copy(kept, RELEASE / kept.name)
    shutil.copy(secret, RELEASE / "passphrase")
    for argv in (
        ["systemctl", "stop", "framegate-controller"],
        ["dpkg", "--purge", "framegate-controller"],
        ["rm", "-rf", state, settings, secret, backup],
    ):
        subprocess.run(argv, check=True, capture_output=True)
    seen["lost"] = [str(p) for p in (state, settings, secret, backup) if p.exists()]


def await_the_next_code() -> None:
    """As the page says: what an authenticator shows now is void."""
    step = time.time() // TOTP_STEP_S
    wait("the next code", lambda: time.time() // TOTP_STEP_S > step)


def follow(person: Typist, title: str, blocks, between=()) -> None:
    """Type a section's blocks; `between` are what happens before the block of a number."""
    for number, block in enumerate(blocks):
        if number in dict(between):
            dict(between)[number]()
        begun = time.monotonic()
        told = person.block(block.text)
        told |= {"text": block.text, "code": block.code}
        told["seconds"] = round(time.monotonic() - begun, 1)
        seen["blocks"][f"{title} {number}"] = told


def sit_down() -> Typist:
    """Somebody at the machine's terminal, in the folder of a release; its TPM by its address."""
    os.chdir(RELEASE)
    machine = {
        "FRAMEGATE_AGENT_TCTI": f"swtpm:path={MACHINE}/tpm.sock",
        "FRAMEGATE_AGENT_BOOT_LOG": f"{MACHINE}/boot_log",
        "FRAMEGATE_AGENT_IMA": f"{MACHINE}/ima",
    }
    os.environ.update(machine, HOME="/root", COLUMNS="200")
    return Typist(
        [
            # with the blank at its end: what is typed before it is thrown away
            (r"(?i)(password[^\n]*|repeat for confirmation): $", PASSWORD),
            (r"(?i)code of your authenticator[^\n]*: $", code),
        ]
    )


def main() -> None:
    out = Path(sys.argv[1])
    try:
        person, parts = sit_down(), sections()
        seen["bare"] = subprocess.run(["which", "python3"], check=False).returncode
        follow(person, "Without the Internet", parts["Without the Internet"][1:])
        one = parts["One host"]
        gateway = next(n for n, block in enumerate(one) if "framegate-agent_" in block.text)
        follow(person, "One host", one, [(gateway + 1, plug_in)])
        seen["gateway"] = wait(
            "a gateway that serves",
            lambda: "warranted by" in journal("framegate-gateway") and journal("framegate-gateway"),
        )
        follow(person, "Is it ours?", parts["Is it ours?"])
        follow(person, "Reload, restart, upgrade", parts["Reload, restart, upgrade"])
        seen["after"] = person.block(
            "systemctl is-active framegate-controller framegate-agent framegate-console"
        )
        seen["listed"] = person.block("framegate gateway list -o json")
        helped = "When somebody is to help"
        follow(person, helped, parts[helped])
        lose_the_controller()
        gone = "The day the controller is gone"
        follow(person, gone, parts[gone], [(1, await_the_next_code)])
        seen["again"] = wait(
            "a gateway whose host proved itself to the restored controller",
            lambda: (
                "trusted" in (t := person.block("framegate gateway list -o json")["shown"]) and t
            ),
        )
        person.close()
    except Exception:  # what came so far tells more
        seen["fault"] = traceback.format_exc()
        units = ("framegate-controller", "framegate-agent", "framegate-gateway")
        seen["journal"] = "".join(journal(unit)[-3000:] for unit in units)
    out.write_text(json.dumps(seen, indent=1))


if __name__ == "__main__":
    main()
