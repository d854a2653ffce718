"""A running fleet whose CA keys live in a PKCS#11 token, and one whose live in the controller's
TPM: join, rotate, restart, and what is said when they are away.
"""

import pytest

from framegate_simulators.machine.tpm import Swtpm
from framegate_simulators.plant.plant import Plant
from framegate_simulators.plant.processes import wait_for

pytestmark = [pytest.mark.swtpm, pytest.mark.slow, pytest.mark.plants]


@pytest.fixture
def token(pkcs11_token, tmp_path):
    pin = tmp_path / "pin"
    return (
        pkcs11_token,
        "PKCS#11 token fleet",
        lambda: pin.write_text("000000\n"),
        lambda: pin.write_text("123456\n"),
    )


@pytest.fixture
def tpm(tmp_path):
    swtpm = Swtpm(tmp_path / "swtpm")
    swtpm.start()
    yield f"tpm:{swtpm.tcti}", "TPM", swtpm.stop, swtpm.start
    swtpm.stop()


@pytest.mark.parametrize("kind", ["token", "tpm"])
def test_cas_in_hardware_issue_rotate_and_come_back_after_a_restart(request, kind, tmp_path):
    key_store, store_name, away, back = request.getfixturevalue(kind)
    with Plant(interval_s=2.0, logs=tmp_path / "logs") as p, p.explained():
        p.found_fleet("--ca-keys", key_store)
        p.start_controller()
        p.framegate("trust", "add-tpm-ca", p.folder / "maker.pem")
        camera = p.add_machine("cam1")
        p.join(camera, p.invite(camera))
        p.start_agent(camera)
        rows = p.ask("ca", "show")
        assert {r["held_in"] for r in rows if r["label"] in {"root", "device-ca"}} == {store_name}
        assert not list((p.folder / "controller" / "keys").glob("*-ca.key"))
        old = next(r["serial"] for r in rows if r["label"] == "device-ca")
        p.framegate("ca", "rotate", "device-ca")
        wait_for(
            "the new CA to sign",
            lambda: (
                next(
                    r["serial"]
                    for r in p.ask("ca", "show")
                    if r["label"] == "device-ca" and r["state"] == "present"
                )
                != old
            ),
            40,
            every_s=0.5,
        )
        wait_for("cam1 to be trusted under it", lambda: p.state_of(camera) == "trusted", 20)
        p.stop("controller")
        away()
        refused = p.command(
            "framegate-controller",
            "run",
            "--state",
            p.folder / "controller",
            "--join-port",
            0,
            "--fleet-port",
            0,
            check=False,
        )
        assert (
            refused.returncode == 7
            and "unavailable" in refused.stderr
            and "Traceback" not in refused.stderr
        ), refused.stderr
        back()
        p.start_controller()
        wait_for("cam1 to attest again", lambda: p.state_of(camera) == "trusted", 30)
