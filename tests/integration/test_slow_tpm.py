"""A plant whose TPMs take 200 to 600 ms for every command: machines join, attest and renew in time,
and no frame is lost once frames flow.
"""

import json
import time

import pytest

from framegate_agent.doctor import SLOW_S, TOO_SLOW_S, speed_of
from framegate_simulators.chaos.chaos_plant import ChaosPlant
from framegate_simulators.chaos.relay import COMMAND_S, Mode, Relays
from framegate_simulators.plant.processes import SIM, wait_for

INTERVAL_S = 12.0
RATE = 5
JOIN_COMMANDS = 60
"""At 0.6 s each that is within what a challenge lives."""
RENEWED_S = 75.0
"""A grant lives for 120 s and is renewed from half of that on."""


def test_what_doctor_says_of_a_slow_tpm_and_what_it_means():
    assert speed_of(0.02).good and "20 ms" in speed_of(0.02).seen
    slow = speed_of(1.2)
    assert slow.good and slow.seen.startswith("slow: a quote takes 1.2 s")
    assert "64 frames" in slow.seen and "more than 13 a second" in slow.seen
    assert not slow.fix
    over = speed_of(TOO_SLOW_S)
    assert not over.good and "another program" in over.fix
    assert "slow" not in speed_of(SLOW_S * 0.99).seen


@pytest.fixture
def plant(tmp_path):
    with (
        Relays() as relays,
        ChaosPlant(relays, interval_s=INTERVAL_S, logs=tmp_path / "logs") as running,
        running.explained(),
    ):
        running.found_fleet()
        running.start_controller()
        running.framegate("trust", "add-tpm-ca", running.folder / "maker.pem")
        yield running


@pytest.mark.swtpm
@pytest.mark.slow
@pytest.mark.plants
def test_a_daemon_on_a_slow_tpm_stays_within_its_deadlines(plant):
    gateway, camera = plant.add_machine("gw1", "gateway"), plant.add_machine("cam1")
    tickets = {site.name: plant.invite(site) for site in (gateway, camera)}
    for site in (gateway, camera):
        plant.tpm(site).mode = Mode.SLOW
        joined = plant.join(site, tickets[site.name])
        assert "trusted" in joined.stderr + joined.stdout
        assert plant.tpm(site).commands < JOIN_COMMANDS
    plant.write_golden([1])
    plant.start_agent(gateway)
    plant.start_gateway(gateway)
    source = f"exec:{SIM} camera --design 1 --rate {RATE}"
    plant.start_agent(camera, "--source", source)

    def inspected():
        outcomes = camera.status().get("outcomes", {})
        return int(outcomes.get("PASS", 0)) + int(outcomes.get("DEFECT", 0))

    wait_for("verdicts", lambda: inspected() > 2 * RATE, 180)
    before, since = camera.status(), time.monotonic()
    seen = [before]

    def renewed():
        now = camera.status()
        seen.append(now)
        enough = now.get("attested", 0) >= before["attested"] + 3
        return enough and time.monotonic() > since + RENEWED_S

    wait_for("attestations, and a grant that is renewed", renewed, 400, every_s=0.5)
    after = camera.status()
    assert {status["state"] for status in seen if status} == {"trusted"}
    assert min(status["certificate_s"] for status in seen if status) > 0, "renewed in time"
    assert after["uninspected"] == before["uninspected"], "no frame is lost"
    assert after["resent"] == before["resent"], "and none is sent twice"
    assert inspected() > sum(before["outcomes"].values()), "frames flow"
    log = (plant.logs / "agent-cam1.log").read_text()
    assert "renewal put off" not in log and "Traceback" not in log
    for site in (camera, gateway):
        assert plant.state_of(site) == "trusted"
        plant.stop_agent(site)

    arguments = ("--state", camera.disk, "--tcti", plant.tcti(camera))
    logs = ("--boot-log", camera.machine.boot_log_path, "--ima", camera.machine.ima_path)
    told = plant.command("framegate-agent", "doctor", *arguments, *logs, "-o", "json", check=False)
    (speed,) = [f for f in json.loads(told.stdout) if f["check"] == "TPM speed"]
    assert speed["good"] and speed["seen"].startswith("slow: a quote takes ")
    assert float(speed["seen"].split()[4]) >= 3 * COMMAND_S[0], "three commands"
