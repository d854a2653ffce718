"""N40 to N50 and N60 to N73: boot logs, measurement lists and counters that lie. The forged TPM
really measured what each log says, unless said otherwise.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import replace

from framegate.eventlog import parse_boot_log, replay
from framegate.eventlog.event_type import EventType
from framegate.tpm.attest import ClockInfo
from framegate.tpm.constants import Alg
from framegate_simulators.attack.target import Seen, Target, attempt
from framegate_simulators.machine.boot import (
    BANKS,
    Firmware,
    Measurement,
    boot_log,
    measurements,
    profile_toml,
)
from framegate_simulators.machine.ima import ImaMachine, files_of

CAMERA = Firmware("simulated-camera")
GOOD = next(iter(files_of(CAMERA.model, CAMERA.release).items()))


def _with_log(t: Target, *logs: bytes) -> Seen:
    seen = []
    for log in logs:
        forge = t.forge()
        try:
            forge.boot(log)
        # a log that nobody can replay: claim it over an honest boot
        except Exception:  # noqa: BLE001
            forge.boot()
            forge.log = log
        seen.append(t.try_join(forge))
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


def _events(**changes: object) -> list[Measurement]:
    return measurements(replace(CAMERA, **changes))  # type: ignore[arg-type]


@attempt("N40", "an implanted boot loader relabelled as an unknown type; a forged event appended")
def n40(t: Target) -> Seen:
    relabelled = [
        replace(m, type=0x12345678) if m.name == "boot loader" else m
        for m in measurements(CAMERA.tampered())
    ]
    return _with_log(
        t,
        boot_log(relabelled),
        boot_log([*_events(), Measurement("x", 4, EventType.ACTION, b"evil", b"evil")]),
    )


@attempt("N41", "Secure Boot off, shown as on; a command line shown as another")
def n41(t: Target) -> Seen:
    on = {m.name: m for m in _events()}
    lying = [
        replace(m, data=on[m.name].data) if m.name == "variable SecureBoot" else m
        for m in _events(secure_boot=False)
    ]
    cmdline = [
        replace(m, data=on[m.name].data) if m.name == "command line" else m
        for m in _events(command_line="/vmlinuz init=/bin/sh")
    ]
    return _with_log(t, boot_log(lying), boot_log(cmdline))


@attempt(
    "N42",
    "a forged startup locality; EV_NO_ACTION with a digest; a second, a short, no Spec ID event",
)
def n42(t: Target) -> Seen:
    good = boot_log(_events())
    head = 32 + int.from_bytes(good[28:32], "little")
    action = (
        struct.pack("<III", 4, EventType.NO_ACTION, len(BANKS))
        + b"".join(struct.pack("<H", b) + b"\x01" * (20 if b == Alg.SHA1 else 32) for b in BANKS)
        + struct.pack("<I", 0)
    )
    short = good[:28] + struct.pack("<I", 20) + good[32:52] + good[head:]
    spec = (
        struct.pack("<III", 0, EventType.NO_ACTION, len(BANKS))
        + b"".join(struct.pack("<H", b) + bytes(20 if b == Alg.SHA1 else 32) for b in BANKS)
        + good[28:head]
    )
    forge = t.forge()
    forge.log = boot_log(_events(), locality=3)
    located = t.try_join(forge)
    rest = _with_log(t, good + action, good + spec, short, good[head:])
    return Seen(located.refused and rest.refused, f"{located.reason}; {rest.reason}")


@attempt("N43", "a separator missing, doubled, with the error value, a variable after it")
def n43(t: Target) -> Seen:
    events = _events()
    missing = [m for m in events if m.name != "separator 4"]
    doubled = [*events, next(m for m in events if m.name == "separator 7")]
    error = [
        replace(m, content=b"\0\0\0\1", data=b"\0\0\0\1") if m.name == "separator 2" else m
        for m in events
    ]
    late = [m for m in events if m.name != "variable db"] + [
        next(m for m in events if m.name == "variable db")
    ]
    return _with_log(t, *(boot_log(e) for e in (missing, doubled, error, late)))


@attempt("N44", "ExitBootServices missing; events hidden behind it in PCR 5")
def n44(t: Target) -> Seen:
    events = _events()
    return _with_log(
        t,
        boot_log([m for m in events if "exit boot" not in m.name]),
        boot_log([*events, Measurement("x", 5, EventType.EFI_ACTION, b"after", b"after")]),
    )


@attempt(
    "N45",
    "SecureBoot 0, empty, of two bytes; on without anything having been checked; UEFI debug mode;"
    " DMA protection off",
)
def n45(t: Target) -> Seen:
    def secure(value: bytes) -> bytes:
        def change(m: Measurement) -> Measurement:
            data = m.data[:24] + len(value).to_bytes(8, "little") + m.data[32:-1] + value
            return replace(m, content=data, data=data)

        return boot_log([change(m) if m.name == "variable SecureBoot" else m for m in _events()])

    events = _events()
    unchecked = [m for m in events if m.name not in {"signer of the boot loader", "SBAT level"}]
    extra = [
        boot_log([*events[:8], Measurement("x", 7, EventType.EFI_ACTION, text, text), *events[8:]])
        for text in (b"UEFI Debug Mode", b"DMA Protection Disabled")
    ]
    return _with_log(t, secure(b"\0"), secure(b""), secure(b"\1\1"), boot_log(unchecked), *extra)


@attempt(
    "N46", "sizes that claim gigabytes, 100,000 events, a dbx whose list is larger than itself"
)
def n46(t: Target) -> Seen:
    good = boot_log(_events())
    huge = good[:-4] + b"\xff\xff\xff\xff"
    many = good + good[32 + int.from_bytes(good[28:32], "little") :] * 200
    dbx = [
        replace(m, content=m.data[:-100], data=m.data[:-100]) if m.name == "variable dbx" else m
        for m in _events()
    ]
    return _with_log(t, huge, many[: 2 * 1024 * 1024 - 1], boot_log(dbx))


@attempt("N47", "a bank that the firmware never extended")
def n47(t: Target) -> Seen:
    return _with_log(t, boot_log([Measurement("x", 0, EventType.POST_CODE, b"x", b"x")]))


@attempt("N48", "a log longer and shorter than the PCRs, truncated, appended to after the quote")
def n48(t: Target) -> Seen:
    seen = []
    for change in (lambda e: e[:-1], lambda e: [*e, e[-1]]):
        forge = t.forge()
        forge.log = boot_log(change(_events()))
        seen.append(t.try_join(forge))
    seen += [
        t.try_join(t.forge().with_evidence(boot_log=lambda raw: raw[:-7])),
        t.try_join(t.forge().with_evidence(boot_log=lambda raw: raw + raw[-60:])),
    ]
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


@attempt("N49", "no boot log, no IMA list")
def n49(t: Target) -> Seen:
    a, b = (
        t.try_join(t.forge().with_evidence(boot_log=b"")),
        t.try_join(t.forge().with_evidence(ima_log=b"")),
    )
    return Seen(a.refused and b.refused, f"{a.reason}; {b.reason}")


@attempt("N50", "the kernel not started, everything else as it should be")
def n50(t: Target) -> Seen:
    return _with_log(t, boot_log(_events(drop_kernel=True)))


def _list(t: Target, machine: ImaMachine) -> Seen:
    forge = t.forge()
    forge.ima = machine
    return t.try_join(forge)


def _digest(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


@attempt("N60", "an IMA entry whose template hash is not that of its data")
def n60(t: Target) -> Seen:
    return t.try_join(
        t.forge().with_evidence(ima_log=lambda raw: raw[:6] + bytes([raw[6] ^ 1]) + raw[7:])
    )


@attempt("N61", "a file changed while it was measured: a violation")
def n61(t: Target) -> Seen:
    forge = t.forge()
    forge.ima.measure(*GOOD, violation=True)
    return t.try_join(forge)


@attempt(
    "N62",
    "a list that was cut before the implant it measured; one so far ahead that nobody could tell",
)
def n62(t: Target) -> Seen:
    forge = t.forge()
    forge.ima.measure(b"/tmp/implant", _digest(b"implant"))
    cut = t.try_join(
        forge.with_evidence(ima_log=lambda _: forge.ima.list_from()[: -len(forge.ima.entries[-1])])
    )
    far, padding = t.forge(), ImaMachine()
    for n in range(5000):
        padding.measure(b"/x%d" % n, _digest(b"x"))
    ahead = t.try_join(far.with_evidence(ima_log=lambda raw: raw + padding.list_from()))
    return Seen(cut.refused and ahead.refused, f"{cut.reason}; {ahead.reason}")


@attempt("N63", "an offset the machine made up; a part that goes back; a reset that nobody signed")
def n63(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    forge.ima.measure(*GOOD)
    back = t.attest(
        forge.with_evidence(ima_log=forge.ima.list_from(2)), certificate, known_log=True
    )
    forge.change_evidence = lambda p: p
    forge.clock = ClockInfo(9, 1, 0, True)
    reset = t.attest(forge, certificate, known_log=True)
    return Seen(
        back.certificate is None and reset.certificate is None,
        f"{', '.join(back.reasons)}; {', '.join(reset.reasons)}; {t.state(device)}",
    )


@attempt("N64", "the list of another boot; a list without its front")
def n64(t: Target) -> Seen:
    files = files_of(CAMERA.model, CAMERA.release)
    other, headless = ImaMachine.booted({0: _digest(b"other")}, files), ImaMachine()
    for path, digest in files.items():
        headless.measure(path, digest)
    a, b = _list(t, other), _list(t, headless)
    return Seen(a.refused and b.refused, f"{a.reason}; {b.reason}")


@attempt(
    "N65",
    "paths with newlines, NUL, .. and bytes that are no text; a weak hash; a known content under"
    " another name",
)
def n65(t: Target) -> Seen:
    seen = []
    for path in (
        b"/usr/bin/x\n10 aa",
        b"/usr/../tmp/x",
        b"/usr/bin/\xff",
        b"/usr/bin/a\0b",
        b"/usr/bin/new",
    ):
        forge = t.forge()
        forge.ima.measure(path, GOOD[1])
        seen.append(t.try_join(forge))
    forge = t.forge()
    forge.ima.measure(GOOD[0], hashlib.sha1(b"x", usedforsecurity=False).digest(), algorithm="sha1")
    seen.append(t.try_join(forge))
    return Seen(all(s.refused for s in seen), "; ".join(dict.fromkeys(s.reason for s in seen)))


@attempt(
    "N70",
    "resetCount falls, the clock goes back within one reset; and a power cut, which must pass",
)
def n70(t: Target) -> Seen:
    seen = []
    for clock in (ClockInfo(1000, 0, 0, True), ClockInfo(10, 1, 0, True)):
        forge, _, _ = t.enrol()
        forge.clock = clock
        seen.append(t.join(forge).seen)
    cut, _, _ = t.enrol()
    cut.clock = ClockInfo(3, 2, 0, False)
    cut.boot()
    passed = t.join(cut).certificate is not None
    return Seen(
        all(s.refused for s in seen) and passed,
        f"{seen[0].reason}; a power cut {'passes' if passed else 'IS REFUSED'}",
    )


@attempt("N71", "a reset nobody announced, under the old log")
def n71(t: Target) -> Seen:
    forge, device, certificate = t.enrol()
    forge.log = boot_log(_events(kernel="kernel other"))
    hello = forge.attest_hello(known_log=True)
    forge.log = boot_log(_events())
    forge.pcrs = dict(replay(parse_boot_log(boot_log(_events(kernel="kernel other"))), Alg.SHA256))
    answer = t.attest(forge, certificate, hello=hello)
    return Seen(answer.certificate is None, f"{', '.join(answer.reasons)}; {t.state(device)}")


@attempt("N72", "a genuine machine's evidence relayed on another host's connection")
def n72(t: Target) -> Seen:
    victim, _, _ = t.enrol()
    relay, _, relay_certificate = t.enrol()
    with t.fleet_channel(t.pair(relay, relay_certificate)) as channel:
        from framegate_proto.edge import evidence_parts
        from framegate_proto.v1 import framegate_pb2 as pb
        from framegate_proto.v1 import framegate_pb2_grpc as rpc

        stub, hello = rpc.FleetStub(channel), victim.attest_hello()
        begun = stub.Begin(pb.BeginRequest(hello=hello), timeout=10)
        _, evidence = victim.answer(t.fleet, hello, begun.challenge, join=False)
        reply = stub.Complete(evidence_parts(begun.state, b"", evidence), timeout=10)
    return Seen(not reply.certificate, ", ".join(f.reason for f in reply.failures))


@attempt("N73", "yesterday's evidence in today's session")
def n73(t: Target) -> Seen:
    forge, _, certificate = t.enrol()
    kept: dict[str, bytes] = {}

    def keep(p: dict[str, bytes]) -> dict[str, bytes]:
        kept.update(p)
        return p

    forge.change_evidence = keep
    t.attest(forge, certificate)
    forge.change_evidence = lambda p: {
        **p,
        "quote_attest": kept["quote_attest"],
        "quote_signature": kept["quote_signature"],
    }
    return t.attest(forge, certificate).seen


@attempt("N117", "TPM2_Clear: counters drop, the AK lives on")
def n117(t: Target) -> Seen:
    forge, device, _ = t.enrol()
    forge.clock = ClockInfo(50, 0, 0, True)
    answer = t.join(forge)
    return Seen(
        answer.certificate is None and t.state(device) == "suspect",
        f"{', '.join(answer.reasons)}: suspect",
    )


@attempt(
    "N125",
    "a policy that changed after the first attestation: is it applied, or only ever to newcomers?",
)
def n125(t: Target) -> Seen:
    def put(firmware: Firmware, revision: int) -> None:
        file = t.plant.folder / "changing.toml"
        file.write_text(profile_toml(firmware, "changing", revision))
        t.plant.command(
            "framegate-controller", "profile", "add", file, "--state", t.plant.folder / "controller"
        )

    put(CAMERA, 1)
    forge = t.forge()
    code, device = t.invite(forge, profile="changing")
    certificate = t.join(forge, code).certificate
    if certificate is None:
        return Seen(False, "the control failed: sound evidence was refused")
    put(replace(CAMERA, kernel="kernel 6.12.10"), 2)
    answer = t.attest(forge, certificate, known_log=True)
    return Seen(
        answer.certificate is None and t.state(device) == "suspect",
        f"{', '.join(dict.fromkeys(answer.reasons))}: suspect",
    )
