"""A controller whose CAs' keys are in a token (PKCS#11), under its unit; part of the lab."""

import shutil
from pathlib import Path

from hand import LAB, confined, run, seen, show


def token():
    """A controller whose CAs' keys are in a token, under the same unit: the first one's state is
    put aside.
    """
    run("systemctl", "stop", "framegate-controller")
    state, aside = Path("/var/lib/framegate-controller"), Path("/var/lib/aside")
    state.rename(aside)
    user = "framegate-controller"
    try:
        run("install", "-d", "-m", "700", "-o", user, "-g", user, state, state / "tokens")
        config = Path("/etc/framegate/softhsm2.conf")
        config.write_text(f"directories.tokendir = {state}/tokens\nobjectstore.backend = file\n")
        pin = state / "pin"
        pin.write_text("4711\n")
        pin.chmod(0o600)
        shutil.chown(pin, user, user)
        at = {"SOFTHSM2_CONF": str(config)}
        made = ("--init-token", "--free", "--label", "fleet", "--pin", "4711", "--so-pin", "4711")
        run("softhsm2-util", *made, user=user, env=at)
        keys = f"pkcs11:module=/usr/lib/softhsm/libsofthsm2.so;token=fleet;pin-file={pin}"
        argv = (
            "init",
            "--operator",
            "anna",
            "--password-file",
            LAB / "password",
            "--ca-keys",
            keys,
        )
        run(
            user,
            *argv,
            "--passphrase-file",
            LAB / "init-passphrase",
            "-o",
            "json",
            user=user,
            env=at,
        )
        folder = Path(f"/run/systemd/system/{user}.service.d")
        folder.mkdir(parents=True, exist_ok=True)
        drop = folder / "20-token.conf"
        drop.write_text(f"[Service]\nEnvironment=SOFTHSM2_CONF={config}\n")
        run("systemctl", "daemon-reload")
        run("systemctl", "start", user)
        seen["token"] = {
            **show("controller", "ActiveState", "StatusText"),
            **confined("controller"),
        }
        run("systemctl", "stop", user)
        drop.unlink()
        run("systemctl", "daemon-reload")
    finally:
        shutil.rmtree(state)
        aside.rename(state)
