"""Parts: what operators' verbs sign, bound and raise to those who watch."""

import json

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.signed.part import MAX_GOLDENS, verify_part
from framegate.wire import sha256
from framegate_controller.events.notices import PartChanged
from framegate_controller.inspection import parts as parts_module
from framegate_controller.inspection.parts import MAX_GOLDENS_BYTES, golden_image, part_envelopes
from framegate_controller.rpc import parts as part_rows
from framegate_proto.v1 import framegate_pb2 as pb
from support.refusals import refusal
from support.registrations import approved, registration

PNG, JPEG = b"\x89PNG\r\n\x1a\n" + b"one", b"\xff\xd8\xff" + b"two"


RULES = json.dumps({"thresholds": [{"kind": "short", "at_least": 0.5}], "min_size_px": 4}).encode()


def test_a_part_is_signed_under_versions_that_never_fall(bench, models_desk):
    asked = pb.AddPartRequest(
        part_type="a/1", goldens=[PNG, JPEG], rules=RULES, source="the golden board"
    )
    row = models_desk.ask("AddPart", asked)
    images = ", ".join(sha256(g).hex()[:16] for g in (PNG, JPEG))
    assert (row.part_type, row.version, row.by, models_desk.told) == (
        "a/1",
        1,
        "operator.anna",
        (PartChanged(row.envelope),),
    )
    assert models_desk.aim.summary == (
        f"part a/1: 2 golden images ({images}), 100 % of the picture inspected"
    ), "where they are from is the asker's word, and no part of it"
    part = verify_part(row.envelope, bench.keys.root.certificate, from_ms(bench.clock()))
    assert (part.goldens, part.min_size_px, part.approved_by) == (
        tuple(sha256(g).hex() for g in (PNG, JPEG)),
        4.0,
        ("operator.anna", "operator.sven"),
    )
    shown = models_desk.ask("ShowPart", pb.PartRequest(part_type="a/1"))
    assert list(shown.goldens) == [PNG, JPEG] and shown.row == row
    models_desk.ask("AddPart", pb.AddPartRequest(part_type="a/1", remove=True))
    assert refusal(models_desk, "ShowPart", pb.PartRequest(part_type="a/1")) == Reason.NOT_FOUND
    assert not models_desk.ask("ListParts", pb.ListRequest()).parts
    with bench.store.reading() as tx:
        (envelope,) = part_envelopes(tx)
        assert golden_image(tx, sha256(PNG)) == PNG
        with pytest.raises(Refused):
            golden_image(tx, bytes(32))
    assert verify_part(envelope, bench.keys.root.certificate, from_ms(bench.clock())).removed
    assert models_desk.ask("AddPart", asked).version == 3
    whole = "100 % of the picture inspected"
    told = [(e["event"], e["detail"]) for e in bench.events() if e["event"].startswith("part-")]
    assert told == [
        ("part-set", f"part a/1: 2 golden images ({images}), {whole}, version 1"),
        ("part-removed", "take part a/1 away, version 2"),
        ("part-set", f"part a/1: 2 golden images ({images}), {whole}, version 3"),
    ]


@pytest.mark.parametrize(
    "change",
    [
        {"goldens": []},
        {"goldens": [PNG] * (MAX_GOLDENS + 1)},
        {"goldens": [PNG + bytes(2 * 1024 * 1024)]},
        {"goldens": [PNG + bytes(MAX_GOLDENS_BYTES // 2)] * 2},
        {"goldens": [b"GIF89a"]},
        {"source": " "},
        {"part_type": "../x"},
        {"rules": b"[]"},
        {"rules": b'{"other": 1}'},
        {"rules": b'{"thresholds": 1}'},
        {"rules": b'{"thresholds": [1]}'},
        {"rules": b'{"min_size_px": "4"}'},
        {"rules": b'{"ignore": {}}'},
        {"rules": b" " * 65_536 + b"{}"},
    ],
    ids=lambda c: repr(c)[:50],
)
def test_parts_that_are_none(models_desk, change):
    asked = {"part_type": "a", "goldens": [PNG], "rules": RULES, "source": "s"} | change
    with pytest.raises(Malformed):
        part_rows.ROWS[0].parse(pb.AddPartRequest(**asked))


def test_a_threshold_of_a_class_that_no_registered_model_has_is_refused(models_desk):
    asked = pb.AddPartRequest(part_type="a", goldens=[PNG], rules=RULES, source="s")
    models_desk.ask("AddPart", asked)  # no model is registered: gateways have their own
    models_desk.ask("RegisterModel", registration(classes=("open", "short")))
    models_desk.ask("AddPart", asked)
    asked.rules = RULES.replace(b"short", b"shrot")
    assert refusal(models_desk, "AddPart", asked) == Reason.PART
    models_desk.ask("AddPart", pb.AddPartRequest(part_type="a", remove=True))


def test_there_are_not_more_parts_than_gateways_are_told_of(bench, models_desk, monkeypatch):
    assert (
        refusal(models_desk, "AddPart", pb.AddPartRequest(part_type="a", remove=True))
        == Reason.PART
    )
    monkeypatch.setattr(parts_module, "MAX_PARTS", 1)
    models_desk.ask("AddPart", pb.AddPartRequest(part_type="a", goldens=[PNG], source="s"))
    assert (
        refusal(models_desk, "AddPart", pb.AddPartRequest(part_type="b", goldens=[PNG], source="s"))
        == Reason.PART
    )
    models_desk.ask("AddPart", pb.AddPartRequest(part_type="a", goldens=[JPEG], source="s"))


def test_what_is_pinned_or_signed_is_raised_to_those_who_watch(bench, models_desk):
    def revision():
        with bench.store.reading() as tx:
            return tx.revision()

    model, before = approved(models_desk, 1), revision()
    models_desk.ask("PromoteModel", pb.ModelRequest(digest=model.digest, zone="line-1"))
    assert revision() == before + 1
    models_desk.ask("AddPart", pb.AddPartRequest(part_type="a", goldens=[PNG], source="s"))
    assert revision() == before + 2
