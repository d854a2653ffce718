"""N135 to N137, N144: what people and profiles are asked to let through."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any, Final

from framegate.errors import Reason
from framegate.profile.learn import AGENT_FOLDER
from framegate.profile.model import PROFILE_TYPE
from framegate.signed.dsse import seal_envelope
from framegate_operator.connection import load_context, operator_stub
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.attack.floor import GATEWAY
from framegate_simulators.attack.target import Seen, Target, attempt, reason_of
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import ImaMachine, allowlist_of, files_of

CAMERA: Final = Firmware("simulated-camera")
PATTERN: Final = "/vmlinuz-* root=UUID=5d1c ro lockdown=integrity"


def _box(left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    return {"points": [[left, top], [right, top], [right, bottom], [left, bottom]]}


@attempt("N135", "masks over all of a picture, over two of its halves, over just more than may be")
def n135(t: Target) -> Seen:
    t.sign_in_again()
    _, device, _ = t.enrol()

    def masks(*regions: dict[str, Any]) -> Seen:
        request = pb.SetMasksRequest(device=device, regions=json.dumps(regions).encode())
        with operator_stub(t.context) as stub:
            return reason_of(lambda: stub.SetMasks(request))

    sound = masks(_box(0, 0, 0.2, 0.2))
    seen = [
        masks(_box(0, 0, 1, 1)),
        masks(_box(0, 0, 0.5, 1), _box(0.5, 0, 1, 1)),
        masks(_box(0, 0, 1, 0.41)),
    ]
    again = masks(_box(0.8, 0.8, 1, 1))
    return Seen(
        not sound.refused and not again.refused and {s.reason for s in seen} == {"mask"},
        f"{', '.join(s.reason for s in seen)}; small masks before and after: {sound.reason}",
    )


@attempt("N136", "a machine whose IMA policy measures Framegate's own files and nothing else")
def n136(t: Target) -> Seen:
    files = files_of(CAMERA.model, CAMERA.release)
    ours = {p: d for p, d in files.items() if p.startswith(AGENT_FOLDER.encode())}
    others = {p: d for p, d in files.items() if p not in list(ours)[:1]}
    seen = []
    for measured in (ours, others):
        forge = t.forge()
        forge.ima = ImaMachine.booted(forge.pcrs, measured)
        seen.append(t.try_join(forge))
    sound = t.try_join(t.forge())
    return Seen(
        not sound.refused and [s.reason for s in seen] == ["ima-file-absent"] * 2,
        f"{'; '.join(s.reason for s in seen)}; all of them measured: trusted",
    )


@attempt(
    "N137",
    "init=/bin/sh where a wildcard stands for a version; profiles that let anything be a PCR's",
)
def n137(t: Target) -> Seen:
    t.sign_in_again()
    name = "simulated-star"
    loose = profile_toml(CAMERA, name).replace(
        "/vmlinuz-6.12.9 root=UUID=5d1c ro lockdown=integrity", PATTERN
    )
    any_pcr = '\n[[event]]\nname = "x"\npcr = 8\ndigests = "any"\nrequired = false\n'
    imported = _imports(t, loose)
    refused = [_imports(t, loose + any_pcr), _imports(t, loose.replace(PATTERN, "**"))]
    seen = []
    for line in (
        PATTERN.replace("*", "6.13.1"),
        PATTERN.replace("*", "6.13.1 init=/bin/sh"),
        PATTERN.replace("*", "6.13.1") + " init=/bin/sh",
    ):
        forge = t.forge(firmware=replace(CAMERA, command_line=line))
        code, _ = t.invite(forge, profile=name)
        seen.append(t.join(forge, code).seen)
    return Seen(
        not imported.refused
        and all(r.reason == "firmware-profile-invalid" for r in refused)
        and not seen[0].refused
        and all(Reason.COMMAND_LINE.value in s.reason for s in seen[1:]),
        f"another version: trusted; {seen[1].reason}; {seen[2].reason}; profiles:"
        f" {', '.join(r.reason for r in refused)}",
    )


def _imports(t: Target, text: str) -> Seen:
    key = t.keys.signing["profile"]
    envelope = seal_envelope(PROFILE_TYPE, text.encode(), key.der, key.sign)
    request = pb.ImportProfileRequest(
        envelope=envelope, allowlists=[allowlist_of(CAMERA.model, CAMERA.release)]
    )
    with operator_stub(t.context) as stub:
        return reason_of(lambda: stub.ImportProfile(request))


@attempt(
    "N144",
    "requests with a member that nobody shows, one twice, a number in more bytes than it takes",
)
def n144(t: Target) -> Seen:
    t.sign_in_again()
    person = load_context(t.plant.add_person("nina", "security"))
    export = pb.ExportRequest(camera="camera.line-1.cam1", limit=2, destination="quality")
    body = export.SerializeToString(deterministic=True)
    unknown = body + b"\xfa\x3f\x04evil"  # member 1023
    twice = body + pb.ExportRequest(limit=1000).SerializeToString()
    longer = body.replace(b"\x20\x02", b"\x20\x82\x00")
    approval = pb.ExportRequest(id="x", approval=b"y").SerializeToString()

    def asked(content: bytes) -> Seen:
        request = pb.VerbRequest(
            verb="dataset.export",
            gateways=[GATEWAY],
            content_type="ExportRequest",
            content=content,
            reason="the last two frames",
        )
        with operator_stub(person) as stub:
            return reason_of(lambda: stub.RequestVerb(request))

    seen = [asked(b) for b in (body, unknown, twice, longer, approval, body)]
    refused = [s.reason for s in seen[1:-1]]
    return Seen(
        not seen[0].refused and not seen[-1].refused and set(refused) == {"usage"},
        f"{', '.join(refused)}; as it should be, before and after: {seen[0].reason}",
    )
