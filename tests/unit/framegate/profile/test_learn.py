"""A profile learnt from machines."""

import struct
from dataclasses import replace

import pytest
import tomli_w

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log
from framegate.evidence.appraise import secure_boot_failures
from framegate.evidence.boot_events import event_failures
from framegate.identity.names import Kind
from framegate.ima import parse_ima
from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
from framegate.profile.learn import IMA_POLICY, Observation, learn
from framegate.profile.model import parse_profile
from framegate.tpm.constants import Alg
from framegate.wire import sha256
from framegate_simulators.machine.boot import Firmware, Measurement, boot_log, measurements
from framegate_simulators.machine.ima import ImaMachine
from support.ima import digest_of


def test_a_learnt_profile_affirms_its_machines_and_only_those(bench):
    """Learn from two machines that differ in boot order and revocations; both pass, a third
    system does not.
    """
    one, two = (
        Firmware("m"),
        replace(Firmware("m"), boot_order=b"\1\0", revocations=6, sbat="sbat,1\nshim,9\ngrub,4\n"),
    )
    logs = [parse_boot_log(boot_log(measurements(f))) for f in (one, two)]
    body, allowlist = learn(
        [Observation(log) for log in logs],
        name="m",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )
    profile = parse_profile(tomli_w.dumps(body).encode())
    assert (
        allowlist == b""
        and len(profile.secure_boot.dbx_minimum) == 3
        and profile.secure_boot.sbat_minimum["shim"] == 4
    )
    for log in logs:
        assert event_failures(log, profile) == [] and secure_boot_failures(log, profile) == []
    for other, reason in (
        (replace(one, kernel="other"), Reason.EVENT_UNCLAIMED),
        (replace(one, command_line="init=/bin/sh"), Reason.COMMAND_LINE),
        (replace(one, revocations=2), Reason.DBX),
        (replace(one, sbat="sbat,1\nshim,3\ngrub,4\n"), Reason.SBAT),
        (replace(one, secure_boot=False), Reason.SECURE_BOOT),
    ):
        log = parse_boot_log(boot_log(measurements(other)))
        assert reason in {
            f.reason for f in event_failures(log, profile) + secure_boot_failures(log, profile)
        }, reason


HOW = {"name": "m", "version": "1", "revision": 1, "description": "", "bank": Alg.SHA256}


def observed(firmware: Firmware, files: dict[bytes, bytes] | None = None, **more) -> Observation:
    """A machine as its logs show it; `files` are those that IMA measured."""
    ima = ImaMachine.booted({}, files) if files is not None else None
    return Observation(
        parse_boot_log(boot_log(measurements(firmware))),
        ima=parse_ima(ima.list_from()).entries if ima else (),
        **more,
    )


def test_nothing_is_learnt_from_no_machine():
    with pytest.raises(ValueError, match="at least one machine"):
        learn([], **HOW)


def test_files_of_every_machine_stay_allowed_beside_those_of_the_list_before():
    base = allowlist_text([AllowedFile("sha256", digest_of(b"old"), b"/usr/bin/old")])
    machines = [
        observed(Firmware("m"), {b"/usr/bin/a": digest_of(b"a")}),
        observed(Firmware("m"), {b"/opt/framegate/agent": digest_of(b"b")}),
    ]
    body, allowlist = learn(machines, **HOW, base=base)
    paths = {f.path for f in parse_allowlist(allowlist).files()}
    assert paths == {b"/usr/bin/old", b"/usr/bin/a", b"/opt/framegate/agent"}
    assert body["ima"] == {
        "allowlists": [f"sha256:{sha256(allowlist).hex()}"],
        "max_violations": 0,
        "measured": ["/opt/framegate/"],
    }
    assert 10 in body["profile"]["pcrs"]
    body, allowlist = learn(machines[:1], **HOW)
    assert "measured" not in body["ima"], "the agent is demanded where it was seen"
    assert {f.path for f in parse_allowlist(allowlist).files()} == {b"/usr/bin/a"}


def test_a_minimum_is_demanded_where_every_machine_has_one():
    def without(name: str) -> Observation:
        events = [m for m in measurements(Firmware("m")) if m.name != name]
        return Observation(parse_boot_log(boot_log(events)))

    whole = observed(Firmware("m"))
    assert {"dbx_minimum", "sbat_minimum"} <= set(learn([whole], **HOW).profile["secure_boot"])
    for name, least in (("variable dbx", "dbx_minimum"), ("SBAT level", "sbat_minimum")):
        assert least not in learn([whole, without(name)], **HOW).profile["secure_boot"], name


def cut_dbx(whole: Measurement) -> bytes:
    """The variable with a list whose sizes do not fit; the variable itself is whole."""
    size = struct.unpack_from("<Q", whole.data, 24)[0]
    return whole.data[:24] + struct.pack("<Q", size - 3) + whole.data[32:-3]


def test_a_revocation_list_that_cannot_be_read_is_known_by_its_digest():
    events = [
        replace(m, content=cut_dbx(m), data=cut_dbx(m)) if m.name == "variable dbx" else m
        for m in measurements(Firmware("m"))
    ]
    body = learn([Observation(parse_boot_log(boot_log(events)))], **HOW).profile
    assert "dbx_minimum" not in body["secure_boot"]
    assert any(e["pcr"] == 7 and "dbx" in e["name"] for e in body["event"])


@pytest.mark.parametrize(
    ("kinds", "kind"),
    [
        ((Kind.CAMERA, Kind.CAMERA), "camera"),
        ((Kind.GATEWAY,), "gateway"),
        ((Kind.CAMERA, None), None),
        ((None,), None),
    ],
)
def test_a_profile_is_for_what_all_machines_are(kinds, kind):
    log = parse_boot_log(boot_log(measurements(Firmware("x"))))
    machines = [Observation(log, kind=k) for k in kinds]
    body = learn(machines, **HOW).profile
    assert body["profile"].get("kind") == kind
    assert parse_profile(tomli_w.dumps(body).encode()).kind == kind


def test_cameras_beside_gateways_make_no_profile():
    log = parse_boot_log(boot_log(measurements(Firmware("x"))))
    with pytest.raises(Malformed) as caught:
        learn([Observation(log, kind=k) for k in Kind], **HOW)
    assert caught.value.failures[0].actual == "backend and camera and gateway"


def test_required_are_the_files_that_every_start_reads():
    """What a command read once is not there after a reboot."""
    lib = "/opt/framegate/agent/lib/python3.11/site-packages"
    started = [
        f"{lib}/framegate_agent/__pycache__/{name}.cpython-311.pyc"
        for name in ("attestation", "daemon", "main")
    ] + [f"{lib}/framegate_agent/tpm/__pycache__/chip.cpython-311.pyc"]
    once = [
        f"{lib}/rich/__pycache__/_emoji_codes.cpython-311.pyc",
        f"{lib}/framegate_agent/__pycache__/doctor.cpython-311.pyc",
        f"{lib}/framegate_agent/main.py",
        f"{lib}/framegate_agent/camera/__pycache__/main.cpython-311.pyc",
        "/opt/framegate/agent/bin/framegate-agent",
    ]
    files = {p.encode(): digest_of(p.encode()) for p in (IMA_POLICY, *started, *once)}
    rules = learn([observed(Firmware("m"), files)], **HOW)[0]["ima"]
    assert rules["required"] == sorted([IMA_POLICY, *started])
