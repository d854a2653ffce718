"""N135, N144: an approver reads what is asked, out of its bytes, and not what a requester says."""

import base64
import json
import re
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from google.protobuf.descriptor import FieldDescriptor

from framegate.access.verbs import verbs
from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.wire import sha256
from framegate_controller.people.requests import MAX_KEPT_BYTES, MAX_OPEN_BYTES, Word, decide
from framegate_controller.rpc.operator import TABLE as ROWS
from framegate_operator.asked_content import as_json, read_asked, save_bytes, told
from framegate_proto.asked import content_of, message_of, messages_of
from framegate_proto.rendering import REMARKS, plain, quoted, render, summarise
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_proto.v1 import framegate_pb2_grpc as rpc
from support.refusals import refused
from support.verb_requests import FILES, GOLDEN_PNG, REQUESTS, authority, verb_request
from support.walk import answer

TWO_PERSON = sorted(name for name, verb in verbs().items() if verb.two_person and verb.rpc)
"""Verbs that people ask for: what has no call playbooks alone ask for."""
AT_CONTROLLER = [v for v in TWO_PERSON if not messages_of(v, "GatewayOperator")]
AT_GATEWAYS = [v for v in TWO_PERSON if messages_of(v, "GatewayOperator")]
GATEWAYS = ["gateway.line-1.gw1", "gateway.line-1.gw2"]


def test_every_two_person_verb_has_a_request_here():
    known = {key.split()[0] for key in REQUESTS} | {"profile.import", "signer.revoke"}
    assert set(TWO_PERSON) <= known and len(TWO_PERSON) >= 17


# every verb, through real calls


def expected_marks(message) -> list[str]:
    """What has to be read of every member that is set."""
    marks = []
    for field, value in message.ListFields():
        for item in value if field.is_repeated else [value]:
            if field.type == FieldDescriptor.TYPE_MESSAGE:
                marks += expected_marks(item)
            elif isinstance(item, bytes):
                marks.append(sha256(item).hex())
            elif isinstance(item, bool):
                marks.append(f"{field.name}: yes")
            elif isinstance(item, str) and "\n" in item:
                marks += [sha256(item.encode()).hex(), *map(plain, item.split("\n"))]
            else:
                marks.append(quoted(item) if isinstance(item, str) else str(item))
    return marks


async def asked_of_controller(walk, verb: str) -> tuple[str, object]:
    (key,) = [k for k in walk.requests if k.split()[0] == verb]
    async with walk.channel("approver") as opened:
        method, message = key.split("Operator.")[1], walk.requests[key]
        reason, hint = await answer(rpc.OperatorStub(opened), method, message, ())
    assert reason == Reason.APPROVAL_NEEDED, (verb, reason)
    return re.findall(r"approve ([0-9a-f]{8})", hint)[0], message


async def asked_at_gateways(walk, verb: str) -> tuple[str, object]:
    (message,) = [m for k, m in REQUESTS.items() if k.split()[0] == verb]
    async with walk.channel("approver") as opened:
        asked = verb_request(message, *GATEWAYS, verb=verb, reason="harmless, I swear")
        return (await rpc.OperatorStub(opened).RequestVerb(asked)).id, message


async def test_n144_every_member_of_every_two_person_verb_is_shown(walk):
    """For each verb that takes two: a request, and what whoever approves it reads on their own
    machine has every member that is set, and the line that the controller keeps follows from the
    message alone.
    """
    for verb in TWO_PERSON:
        at_gateway = verb in AT_GATEWAYS
        identifier, message = await (asked_at_gateways if at_gateway else asked_of_controller)(
            walk, verb
        )
        async with walk.channel("security") as opened:
            stub = rpc.OperatorStub(opened)
            reply = await stub.ShowAccess(pb.ShowAccessRequest(id=identifier))
        asked = read_asked(reply)
        text = "\n".join(told(asked))
        missing = [m for m in expected_marks(message) if m not in text]
        assert not missing, (verb, missing)
        assert asked.message == message and reply.row.verb == verb
        assert reply.row.summary == f"{verb}: {summarise(message)}"
        assert asked.digest.hex() in text and text.isascii() and "\x1b" not in text
        for shown in render(message):
            assert f"{shown.member}: {shown.lines[0]}" in text, (verb, shown.member)
        if at_gateway:
            assert all(g in text for g in GATEWAYS)


@pytest.mark.parametrize("key", sorted(k for k in REQUESTS if k.split()[0] in TWO_PERSON))
def test_n135_a_summary_follows_from_the_decisive_members_alone(key):
    """Another value of any member that decides something makes another summary; a requester's own
    words make none.
    """
    message = REQUESTS[key]
    for field in message.DESCRIPTOR.fields:
        if field.name == "approval":
            continue
        other = type(message)()
        other.CopyFrom(message)
        item = {
            FieldDescriptor.TYPE_STRING: "something else",
            FieldDescriptor.TYPE_BYTES: b"something else",
            FieldDescriptor.TYPE_BOOL: True,
        }.get(field.type, 77)
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            getattr(other, field.name).add(name="more")
        elif field.is_repeated:
            getattr(other, field.name).append(item)
        else:
            now = getattr(message, field.name)
            setattr(other, field.name, not now if isinstance(now, bool) else item)
        same = summarise(other) == summarise(message)
        assert same == (field.name in REMARKS), field.name
        assert content_of(other).digest("v") != content_of(message).digest("v")


# what a requester may not do


def maker(name: str = "Infineon OPTIGA(TM) ECC Root CA 2") -> bytes:
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=9))
        .add_extension(x509.BasicConstraints(True, None), True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(Encoding.DER)


def test_n135_two_makers_of_one_name_are_told_apart():
    real, forged = maker(), maker()
    one, two = (summarise(pb.TpmCa(certificate=c)) for c in (real, forged))
    assert one != two and sha256(real).hex() in one and sha256(forged).hex() in two
    lines = render(pb.TpmCa(certificate=forged))[0].lines
    assert f"certificate fingerprint sha256 {sha256(forged).hex()}" in lines
    assert any(line.startswith("subject ") for line in lines)
    assert any(line.startswith("key fingerprint") for line in lines)
    assert any("BasicConstraints(ca=True" in line for line in lines)


def row_of(name: str):
    return next(r for r in ROWS if r.name == name)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        ("AddTpmCa", pb.TpmCa(certificate=authority(), subject="CN=somebody trusted")),
        ("AddTpmCa", pb.TpmCa(certificate=authority(), sha256="00" * 32)),
        ("ApproveModel", pb.ModelRequest(digest="ab", zone="line-9")),
        ("PromoteModel", pb.ModelRequest(digest="ab", zone="line-1", withdraw=True)),
        ("ChangeOperator", pb.ChangeOperatorRequest(name="x", verb="enable", roles=["viewer"])),
        ("SetZone", pb.SetZoneRequest(zone="line-1", remark="not set")),
        ("ApplyPolicy", pb.ApplyPolicyRequest(files=[*FILES, FILES[0]])),
        ("AddOperator", pb.AddOperatorRequest(name="x", oidc_subject="s" * 1000)),
        ("AddPart", pb.AddPartRequest(part_type="p", goldens=[GOLDEN_PNG], remove=True)),
    ],
)
def test_n144_members_that_would_decide_nothing_are_refused(call, message):
    """What is shown to whoever approves is what is done: no member is there for show, cut short,
    or overruled by another.
    """
    with pytest.raises(Malformed):
        row_of(call).parse(message)


def unknown_member(message) -> bytes:
    return message.SerializeToString(deterministic=True) + b"\xfa\x3f\x04evil"  # member 1023


def test_n144_members_that_nobody_here_knows_are_refused():
    request = pb.QuorumRequest(value=2)
    stranger = pb.QuorumRequest.FromString(unknown_member(request))
    assert refused(lambda: content_of(stranger)) == Reason.USAGE
    assert refused(lambda: message_of("QuorumRequest", unknown_member(request))) == Reason.USAGE
    files = pb.ApplyPolicyRequest(files=FILES[:1])
    files.files[0].MergeFromString(b"\xfa\x3f\x04evil")
    assert refused(lambda: content_of(files)) == Reason.USAGE, "inside another message as well"


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("NoSuchMessage", b""),
        ("", b""),
        ("QuorumRequest", b"\xff"),
        ("QuorumRequest", b"\x08\x00"),  # a default, written out: another encoding
        ("QuorumRequest", b"\x08\x01\x08\x02"),  # the same member twice
        ("QuorumRequest", b"\x08\x81\x00"),  # a number in more bytes than it needs
        ("ExportRequest", pb.ExportRequest(id="x", approval=b"y").SerializeToString()),
    ],
)
def test_n144_bytes_that_two_readers_could_read_in_two_ways_are_refused(kind, body):
    assert refused(lambda: message_of(kind, body)) == Reason.USAGE


async def test_n135_what_a_requester_of_an_export_says_is_no_more_than_a_remark(walk):
    """A request for a thousand frames cannot be told as one for three: the controller takes the
    message, and nothing that is said of it.
    """
    export = pb.ExportRequest(
        camera="camera.line-1.cam1", limit=1000, reason="3 blank test boards", destination="quality"
    )
    asked = verb_request(export, *GATEWAYS, verb="dataset.export", reason="the last 3 frames")
    async with walk.channel("security") as opened, walk.channel("approver") as others:
        stub = rpc.OperatorStub(opened)
        row = await stub.RequestVerb(asked)
        for fact in ("1000", "camera.line-1.cam1", "quality"):
            assert fact in row.summary
        assert "3" not in row.summary and row.reason == "the last 3 frames"
        assert row.target == ", ".join(GATEWAYS) and row.zone == "line-1"
        reply = await rpc.OperatorStub(others).ShowAccess(pb.ShowAccessRequest(id=row.id))
        lines = list(told(read_asked(reply)))
        remarks = [line for line in lines if "blank test boards" in line or "last 3" in line]
        assert len(remarks) == 2 and all(line.startswith("  | ") for line in remarks)
        for changed in (
            {"verb": "part.add"},
            {"verb": "data.erase"},
            {"content_type": "EraseRequest"},
            {"content": b"\xff"},
            {"gateways": []},
            {"gateways": ["gateway.line-1.gw1", "gateway.line-2.gw1"]},
            {"gateways": ["junk"]},
        ):
            other = pb.VerbRequest(
                **{
                    "verb": asked.verb,
                    "gateways": list(asked.gateways),
                    "content_type": asked.content_type,
                    "content": asked.content,
                    **changed,
                }
            )
            assert (await answer(stub, "RequestVerb", other, ()))[0] == Reason.USAGE, changed


# the approval is of the bytes that were shown


async def test_n135_an_approval_is_of_the_bytes_that_were_shown(walk):
    identifier, message = await asked_of_controller(walk, "zone.set")
    right = content_of(message).digest("zone.set")
    wrong = (
        b"",
        bytes(32),
        right[:-1] + bytes([right[-1] ^ 1]),
        content_of(message).digest("zone.freeze"),
        content_of(pb.SetZoneRequest(zone="line-1", feed_silence="close")).digest("zone.set"),
    )
    async with walk.channel("security") as opened:
        stub = rpc.OperatorStub(opened)
        for digest in wrong:
            yes = pb.DecideRequest(id=identifier, approve=True, content_sha256=digest)
            assert (await answer(stub, "DecideAccess", yes, ()))[0] == Reason.CONFLICT
        yes = pb.DecideRequest(id=identifier, approve=True, content_sha256=right)
        assert (await answer(stub, "DecideAccess", yes, ()))[0] is None
    (entry,) = walk.entries("access-approved")
    assert right.hex() in json.dumps(entry)


def shown_of(message, verb: str = "zone.set", **row) -> pb.AskedContent:
    content = content_of(message)
    members = {
        "id": "0a1b2c3d",
        "requester": "erik",
        "verb": verb,
        "zone": "line-1",
        "content_type": content.kind,
        "content_sha256": content.digest(verb),
        "summary": f"{verb}: {content.summary}",
        **row,
    }
    return pb.AskedContent(row=pb.AccessRow(**members), content=content.body)


GRACE = pb.SetZoneRequest(zone="line-1", feed_silence="grace")


@pytest.mark.parametrize(
    "lie",
    [
        {"content": pb.SetZoneRequest(zone="line-2").SerializeToString()},
        {"content": b""},
        {"content": unknown_member(GRACE)},
        {"content_sha256": bytes(32)},
        {"summary": "zone.set: harmless"},
        {"verb": "zone.freeze"},
        {"content_type": "FreezeZoneRequest"},
        {"content_type": "Nothing"},
    ],
)
def test_n135_a_controller_that_shows_other_than_it_would_let_pass_is_not_believed(lie):
    reply = shown_of(GRACE)
    assert read_asked(reply).message == GRACE
    for name, value in lie.items():
        setattr(reply if name == "content" else reply.row, name, value)
    with pytest.raises(FramegateError):
        read_asked(reply)


# how it reads


def test_n135_what_changes_stands_beside_what_is_in_force():
    old = pb.ApplyPolicyRequest(files=FILES, base=1)
    new = pb.ApplyPolicyRequest(files=FILES, base=1, note="tidied up")
    new.files[0].text += '\npermit (principal == Operator::"eve", action, resource);'
    reply = shown_of(new, "policy.apply")
    reply.compared, reply.in_force = True, old.SerializeToString(deterministic=True)
    lines = list(told(read_asked(reply)))
    added = [line for line in lines if line.startswith("  +") and "eve" in line]
    assert len(added) == 1
    assert not any("tidied up" in line and not line.startswith("  | ") for line in lines)
    assert any(line.startswith("  | note") and "tidied up" in line for line in lines)
    assert as_json(read_asked(reply))["difference"][0] == "against what is in force:"
    reply.in_force = new.SerializeToString(deterministic=True)
    assert "the same is in force" in list(told(read_asked(reply)))


def test_n135_regions_are_compared_corner_by_corner_and_their_share_is_told():
    box = [[0, 0], [0.5, 0], [0.5, 0.5], [0, 0.5]]
    regions = json.dumps([{"points": box}]).encode()
    message = pb.SetMasksRequest(device="cam1", regions=regions)
    assert "inspected 74 % of the picture" in summarise(message)
    lines = [line for shown in render(message) for line in shown.lines]
    assert any("[0.5, 0.5]" in line for line in lines)
    part = pb.AddPartRequest(
        part_type="p", rules=json.dumps({"ignore": [{"points": box}]}).encode()
    )
    assert "inspected 74 % of the picture" in summarise(part)
    for junk in (b"{", b'{"a":1}', b"[1]", b""):
        assert "inspected unknown" in summarise(pb.SetMasksRequest(regions=junk))


@pytest.mark.parametrize(
    "text",
    [
        "a\x1b[2Jb",
        "a\nremove: no",
        'x"; remove no; y "',
        "\u202egnp.exe",
        "\N{CYRILLIC SMALL LETTER A}dmin",
        "back\\slash",
    ],
)
def test_n144_no_member_can_dress_as_another(text):
    message = pb.AddPartRequest(part_type=text, source=text, remove=True)
    said = summarise(message)
    assert said.isascii() and "\n" not in said and "\x1b" not in said
    assert re.fullmatch(r'part_type "(?:[^"\\]|\\.)*"; remove yes; .*', said), said
    for shown in render(message):
        assert all(line.isascii() and line.isprintable() for line in shown.lines)
    names = [shown.member for shown in render(message)]
    assert names == ["part_type", "goldens", "rules", "source", "remove", "inspected"]


def test_n144_long_values_and_lists_are_named_by_digest_too():
    long = "x" * 5000
    said = summarise(pb.ExportRequest(destination=long))
    assert sha256(long.encode()).hex() in said and len(said) < 400
    roles = [f"role-{n}" for n in range(100)]
    one = summarise(pb.AddOperatorRequest(name="n", roles=roles))
    two = summarise(pb.AddOperatorRequest(name="n", roles=[*roles[:-1], "admin"]))
    assert one != two and "and 92 more" in one and len(one) < 400
    shifted = summarise(pb.AddOperatorRequest(name="n", roles=[*roles[:98], "role-9", "8role-99"]))
    assert shifted != one, "no other list has the same digest"


def test_n144_bytes_can_be_looked_at_with_other_programs(tmp_path):
    asked = read_asked(
        shown_of(pb.AddPartRequest(part_type="p", goldens=[b"one", b"two"]), "part.add")
    )
    files = save_bytes(asked, tmp_path / "out")
    assert [f.read_bytes() for f in files] == [b"one", b"two"]


def looks_rules(fingerprint: bytes, **more) -> bytes:
    said = base64.b64encode(fingerprint).decode()
    row = {"look": "camera-fingerprint", "fingerprints": {"cam1": said}, **more}
    return json.dumps({"looks": [row]}).encode()


def test_n135_a_fingerprint_stands_as_a_digest_that_people_can_compare(tmp_path):
    known, other = bytes(range(256)) * 8, bytes(2048)
    new = pb.AddPartRequest(part_type="p", rules=looks_rules(other))
    reply = shown_of(new, "part.add")
    old = pb.AddPartRequest(part_type="p", rules=looks_rules(known))
    reply.compared, reply.in_force = True, old.SerializeToString(deterministic=True)
    asked = read_asked(reply)
    lines = list(told(asked))
    assert max(map(len, lines)) < 300, "nobody reads 2,732 characters"
    before, after = (line for line in lines if line[2] in "+-" and "cam1" in line)
    assert sha256(known).hex() in before and sha256(other).hex() in after
    assert any("access show 0a1b2c3d --save" in line for line in lines), "where the whole is"
    assert save_bytes(asked, tmp_path / "out")[0].read_bytes() == new.rules


@pytest.mark.parametrize(
    "text",
    [
        f"<2048 bytes in base 64, sha256 {sha256(bytes(2048)).hex()}>",
        base64.b64encode(bytes(2048)).decode() + " ",
        base64.b64encode(bytes(2048)).decode() + "\n",
        base64.b64encode(bytes(2048)).decode().replace("A", "-"),
        base64.b64encode(bytes(2047)).decode()[:-2] + "B=",
        base64.b64encode(bytes(60)).decode(),
        "permit (principal, action, resource); " * 20,
    ],
    ids=["dressed", "blank", "line", "url", "second-base64", "short", "text"],
)
def test_n144_no_text_of_json_dresses_as_a_digest_and_none_is_left_out(text):
    rules = json.dumps({"a": {"b": [text]}}).encode()
    (shown,) = [s for s in render(pb.AddPartRequest(rules=rules)) if s.member == "rules"]
    assert json.dumps(text) in shown.lines[-1], "in quotation marks, whole"
    assert not any(" <" in f" {line}" and f'"{text}"' not in line for line in shown.lines)


@pytest.mark.parametrize("word", ["a\x1b[2J", "a\ncontent 00", "\u202eb"])
def test_n144_no_word_of_the_controllers_dresses_as_a_member(word):
    row = {"requester": word, "zone": word, "id": word}
    for line in told(read_asked(shown_of(GRACE, **row))):
        assert line.isascii() and line.isprintable()


# what is kept


def test_a_message_is_kept_while_its_request_is_open_and_longer_where_it_is_small(office):
    for size, kept in ((MAX_KEPT_BYTES, True), (MAX_KEPT_BYTES + 1, False)):
        identifier = office.ask(content=b"x" * size)
        with office.store.writing() as tx:
            assert len(tx.requests.content(identifier)) == size
            asked = tx.requests.find(identifier)
            decide(tx, asked, Word(approver="sara", approve=False, remark=""), office.policy(tx))
            assert (tx.requests.content(identifier) is not None) == kept


def test_n135_open_requests_of_one_person_cannot_fill_the_disk(office):
    half = b"x" * (MAX_OPEN_BYTES // 2)
    office.ask(content=half)
    office.ask(content=half[:-1] + b"y")
    assert refused(lambda: office.ask(content=b"one more")) == Reason.TOO_LARGE
    assert office.ask("sara", content=b"one more")
    with pytest.raises(Refused):
        office.ask(content=half[:-1] + b"z")
