"""Models and parts of the fleet: what operators' verbs make of the registry, of the record, and of what gateways hear."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.signed.model import sign_model
from framegate.signed.part import MAX_GOLDENS, verify_part
from framegate.signed.pin import key_anchor, verify_model_pin
from framegate.wire import sha256
from framegate_controller.events.notices import AccessChanged, PartChanged
from framegate_controller.inspection import parts as parts_module
from framegate_controller.inspection.models import pin_in_force, unapproved
from framegate_controller.inspection.parts import MAX_GOLDENS_BYTES, golden_image, part_envelopes
from framegate_controller.rpc import models as model_rows
from framegate_controller.rpc import parts as part_rows
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.verbs import AllowedCaller

KEY = ec.generate_private_key(ec.SECP256R1())
PNG, JPEG = b"\x89PNG\r\n\x1a\n" + b"one", b"\xff\xd8\xff" + b"two"
RULES = json.dumps({"thresholds": [{"kind": "short", "at_least": 0.5}], "min_size_px": 4}).encode()


@pytest.fixture
def desk(bench):
    return AllowedCaller(bench.store, bench.fleet, (*model_rows.ROWS, *part_rows.ROWS))


def refusal(desk, name, request):
    with pytest.raises(FramegateError) as caught:
        desk.ask(name, request)
    return caught.value.reason


def registration(version=1, name="boards", key=KEY, **changes):
    recipe, card = json.dumps({"name": name, "version": version}).encode(), b"card"
    files = {"model.onnx": sha256(b"weights %d" % version), "recipe.json": sha256(recipe), "card.json": sha256(card)}
    made = {"recipe": recipe, "card": card, "anchor": key_anchor(KEY.public_key()), "signature": sign_model("m", files, key)}
    return pb.RegisterModelRequest(files=[pb.FileDigest(name=n, sha256=d) for n, d in files.items()], **made | changes)


def approved(desk, version):
    row = desk.ask("RegisterModel", registration(version))
    return desk.ask("ApproveModel", pb.ModelRequest(digest=row.digest[:12]))


def test_a_model_is_registered_approved_and_put_in_force(bench, desk):
    row = desk.ask("RegisterModel", registration(1))
    assert (row.name, row.version, row.state, row.registered_by, list(row.approved_by)) == ("boards", 1, "registered", "operator.anna", [])
    assert desk.aim.summary == f"register boards 1, signed by {row.signer}" and desk.aim.target == row.digest
    assert refusal(desk, "RegisterModel", registration(1)) == Reason.CONFLICT
    assert refusal(desk, "PromoteModel", pb.ModelRequest(digest=row.digest, zone="line-1")) == Reason.MODEL
    row = desk.ask("ApproveModel", pb.ModelRequest(digest=row.digest[:12]))
    assert (row.state, list(row.approved_by)) == ("approved", ["operator.anna", "operator.sven"])
    assert refusal(desk, "ApproveModel", pb.ModelRequest(digest=row.digest)) == Reason.CONFLICT
    row = desk.ask("PromoteModel", pb.ModelRequest(digest=row.digest, zone="line-1"))
    assert list(row.zones) == ["line-1"] and desk.told == (AccessChanged(),)
    assert (desk.aim.verb, desk.aim.zone, desk.aim.target) == ("model.promote", "line-1", row.digest)
    with bench.store.reading() as tx:
        pin = verify_model_pin(pin_in_force(tx, "line-1"), "line-1", bench.keys.root.certificate, from_ms(bench.clock()))
        assert pin_in_force(tx, "line-2") == b""
    assert (pin.model_sha256, pin.sequence, pin.rollback, pin.approved) == (row.digest, 1, 0, (row.digest,))
    shown = desk.ask("ShowModel", pb.ModelRequest(digest=row.digest))
    assert (shown.recipe, shown.card, len(shown.pins), len(shown.files)) == (b'{"name": "boards", "version": 1}', b"card", 1, 3)
    assert [m.digest for m in desk.ask("ListModels", pb.ListRequest()).models] == [row.digest]
    told = [(e["event"], e["detail"]) for e in bench.events() if e["event"].startswith("model-")]
    assert told == [
        ("model-registered", f"boards 1, {row.digest}, signed by {row.signer}"),
        ("model-approved", f"boards 1, {row.digest}"),
        ("model-promoted", f"line-1: boards 1, {row.digest}, pin 1"),
    ]


def test_an_older_model_comes_back_only_by_a_roll_back(bench, desk):
    first, second = approved(desk, 1), approved(desk, 2)
    zone = {"zone": "line-1"}
    assert refusal(desk, "RollBackModel", pb.ModelRequest(**zone)) == Reason.NOT_FOUND
    desk.ask("PromoteModel", pb.ModelRequest(digest=first.digest, **zone))
    assert refusal(desk, "PromoteModel", pb.ModelRequest(digest=first.digest, **zone)) == Reason.CONFLICT
    assert refusal(desk, "RollBackModel", pb.ModelRequest(**zone)) == Reason.NOT_FOUND
    desk.ask("PromoteModel", pb.ModelRequest(digest=second.digest, **zone))
    assert refusal(desk, "PromoteModel", pb.ModelRequest(digest=first.digest, **zone)) == Reason.MODEL_ROLLBACK
    assert refusal(desk, "ApproveModel", pb.ModelRequest(digest=second.digest, withdraw=True)) == Reason.CONFLICT
    row = desk.ask("RollBackModel", pb.ModelRequest(**zone))
    assert (row.digest, list(row.zones), desk.aim.verb) == (first.digest, ["line-1"], "model.rollback")
    assert bench.events("model-rolled-back")[0]["detail"] == f"line-1: boards 1, {first.digest}, pin 3"
    assert desk.ask("ApproveModel", pb.ModelRequest(digest=second.digest, withdraw=True)).state == "withdrawn"
    assert refusal(desk, "RollBackModel", pb.ModelRequest(**zone)) == Reason.NOT_FOUND, "a withdrawn one does not come back"


def test_a_gateway_may_run_the_pinned_model_or_an_approved_one_on_its_way_there(bench, desk):
    first, second = approved(desk, 1), approved(desk, 2)
    other = desk.ask("RegisterModel", registration(3))
    with bench.store.reading() as tx:
        assert unapproved(tx, "line-1", "ff" * 32) is None, "a zone without a pin asks for none"
    desk.ask("PromoteModel", pb.ModelRequest(digest=first.digest, zone="line-1"))
    with bench.store.reading() as tx:
        assert unapproved(tx, "line-1", first.digest) is None and unapproved(tx, "line-1", second.digest) is None
        for digest in (other.digest, "ff" * 32):
            assert unapproved(tx, "line-1", digest).reason == Reason.MODEL


@pytest.mark.parametrize(
    ("change", "kind", "reason"),
    [
        ({"signature": b""}, Refused, Reason.MODEL_SIGNATURE),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, Refused, Reason.MODEL_SIGNATURE),
        ({"anchor": "key:AAAA"}, Malformed, Reason.MODEL),
        ({"recipe": b"{}"}, Refused, Reason.MODEL),
        ({"card": b"another"}, Refused, Reason.MODEL),
        ({"card": b"x" * (256 * 1024 + 1)}, Malformed, Reason.MODEL),
        ({"name": "../x"}, Malformed, Reason.MODEL),
        ({"version": 0}, Malformed, Reason.MODEL),
    ],
    ids=str,
)
def test_bundles_that_are_not_registered_and_of_which_nobody_is_asked(bench, desk, change, kind, reason):
    with pytest.raises(kind) as caught:
        desk.ask("RegisterModel", registration(**change))
    assert caught.value.reason == reason and not bench.events("model-registered")
    assert desk.aim is None


def test_a_part_is_signed_under_versions_that_never_fall(bench, desk):
    asked = pb.AddPartRequest(part_type="a/1", goldens=[PNG, JPEG], rules=RULES, source="the golden board")
    row = desk.ask("AddPart", asked)
    images = ", ".join(sha256(g).hex()[:16] for g in (PNG, JPEG))
    assert (row.part_type, row.version, row.by, desk.told) == ("a/1", 1, "operator.anna", (PartChanged(row.envelope),))
    assert desk.aim.summary == f"part a/1: 2 golden images ({images}) from the golden board"
    part = verify_part(row.envelope, bench.keys.root.certificate, from_ms(bench.clock()))
    assert (part.goldens, part.min_size_px, part.approved_by) == (tuple(sha256(g).hex() for g in (PNG, JPEG)), 4.0, ("operator.anna", "operator.sven"))
    shown = desk.ask("ShowPart", pb.PartRequest(part_type="a/1"))
    assert list(shown.goldens) == [PNG, JPEG] and shown.row == row
    desk.ask("AddPart", pb.AddPartRequest(part_type="a/1", remove=True))
    assert refusal(desk, "ShowPart", pb.PartRequest(part_type="a/1")) == Reason.NOT_FOUND
    assert not desk.ask("ListParts", pb.ListRequest()).parts
    with bench.store.reading() as tx:
        (envelope,) = part_envelopes(tx)
        assert golden_image(tx, sha256(PNG)) == PNG
        with pytest.raises(Refused):
            golden_image(tx, bytes(32))
    assert verify_part(envelope, bench.keys.root.certificate, from_ms(bench.clock())).removed
    assert desk.ask("AddPart", asked).version == 3
    told = [(e["event"], e["detail"]) for e in bench.events() if e["event"].startswith("part-")]
    assert told == [
        ("part-set", f"part a/1: 2 golden images ({images}) from the golden board, version 1"),
        ("part-removed", "take part a/1 away, version 2"),
        ("part-set", f"part a/1: 2 golden images ({images}) from the golden board, version 3"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"goldens": []}, {"goldens": [PNG] * (MAX_GOLDENS + 1)}, {"goldens": [PNG + bytes(2 * 1024 * 1024)]}, {"goldens": [PNG + bytes(MAX_GOLDENS_BYTES // 2)] * 2}, {"goldens": [b"GIF89a"]},
        {"source": " "}, {"part_type": "../x"}, {"rules": b"[]"}, {"rules": b'{"other": 1}'}, {"rules": b'{"thresholds": 1}'}, {"rules": b'{"thresholds": [1]}'},
        {"rules": b'{"min_size_px": "4"}'}, {"rules": b'{"ignore": {}}'}, {"rules": b" " * 65_536 + b"{}"},
    ],
    ids=lambda c: repr(c)[:50],
)  # fmt: skip
def test_parts_that_are_none(desk, change):
    asked = {"part_type": "a", "goldens": [PNG], "rules": RULES, "source": "s"} | change
    with pytest.raises(Malformed):
        part_rows.ROWS[0].parse(pb.AddPartRequest(**asked))


def test_there_are_not_more_parts_than_gateways_are_told_of(bench, desk, monkeypatch):
    assert refusal(desk, "AddPart", pb.AddPartRequest(part_type="a", remove=True)) == Reason.PART
    monkeypatch.setattr(parts_module, "MAX_PARTS", 1)
    desk.ask("AddPart", pb.AddPartRequest(part_type="a", goldens=[PNG], source="s"))
    assert refusal(desk, "AddPart", pb.AddPartRequest(part_type="b", goldens=[PNG], source="s")) == Reason.PART
    desk.ask("AddPart", pb.AddPartRequest(part_type="a", goldens=[JPEG], source="s"))


def test_what_is_pinned_or_signed_is_raised_to_those_who_watch(bench, desk):
    def revision():
        with bench.store.reading() as tx:
            return tx.revision()

    model, before = approved(desk, 1), revision()
    desk.ask("PromoteModel", pb.ModelRequest(digest=model.digest, zone="line-1"))
    assert revision() == before + 1
    desk.ask("AddPart", pb.AddPartRequest(part_type="a", goldens=[PNG], source="s"))
    assert revision() == before + 2
