"""Every secret of the machine, searched for in the support bundles that its programs write."""

import json
import re
import tarfile
from pathlib import Path

from hand import LAB, run, seen

PROGRAMS = ("controller", "agent", "gateway", "line", "console")
PROXY_WORD = "a-word-of-the-proxy"
PLACES = ("/etc/framegate", "/var/lib", "/run/lab")
LEAST = 12
"""Characters of what is searched for: shorter ones stand in many a path."""
_SECRET_MEMBERS = re.compile(r"(?i)secret|token|passw|recovery|totp|key_pem|code")


def secrets() -> dict[str, str]:
    """What must be in no bundle, by where it lies: keys in PEM, line by line; passphrases,
    passwords, tickets; and whatever a file of JSON calls so.
    """
    told = {"the proxy's password": PROXY_WORD}
    for path in (p for place in PLACES for p in Path(place).rglob("*") if p.is_file()):
        if path.stat().st_size > 1_000_000:
            continue
        text = path.read_bytes().decode("ascii", "ignore")
        keys = re.findall(r"-----BEGIN [A-Z ]*PRIVATE KEY-----(.*?)-----END", text, re.S)
        lines = [line for key in keys for line in key.split()]
        if re.search(r"passphrase|password|\.ticket|/token$", str(path)):
            lines += map(str.strip, text.splitlines())
        if path.suffix == ".json":
            lines += _members(json.loads(text))
        told |= {f"{path} {n}": line for n, line in enumerate(lines) if len(line) >= LEAST}
    return told


def _members(body, named=False):
    if isinstance(body, dict):
        for name, value in body.items():
            yield from _members(value, bool(_SECRET_MEMBERS.search(name)))
    elif isinstance(body, list):
        for value in body:
            yield from _members(value, named)
    elif named and isinstance(body, str):
        yield body


def bundles():
    """One of each program, by whoever runs it, while a drop-in of somebody's holds a password."""
    folder = Path("/etc/systemd/system/framegate-controller.service.d")
    folder.mkdir(parents=True, exist_ok=True)
    proxy = f"http://anna:{PROXY_WORD}@10.0.0.9:3128"
    (folder / "proxy.conf").write_text(f"[Service]\nEnvironment=https_proxy={proxy}\n")
    run("systemctl", "daemon-reload")
    sought, told = secrets(), {}
    for name in PROGRAMS:
        out = LAB / f"{name}.tar"
        run(f"framegate-{name}", "support", "--out", out)
        with tarfile.open(out) as tar:
            parts = {m.name.rpartition("/")[2]: tar.extractfile(m).read() for m in tar}
        text = b"\n".join(parts.values()).decode()
        told[name] = {
            "parts": {part: len(data) for part, data in parts.items()},
            "found": [where for where, secret in sought.items() if secret in text],
            "log": parts["log.txt"].decode()[-300:],
            "settings": json.loads(parts["settings.json"])["problems"],
        }
    journal = run("journalctl", "--no-pager").stdout
    seen["bundles"] = told
    seen["sought"] = {
        "count": len(sought),
        "of": sorted({w.rsplit("/", 1)[-1].split(" ")[0] for w in sought}),
        "in the journal": [where for where, secret in sought.items() if secret in journal],
    }
    (folder / "proxy.conf").unlink()
    run("systemctl", "daemon-reload")
