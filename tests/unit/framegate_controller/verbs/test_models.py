"""Models: what operators' verbs make of the registry, of the record, and of what gateways hear."""

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import from_ms
from framegate.signed.pin import verify_model_pin
from framegate_controller.events.notices import AccessChanged
from framegate_controller.inspection.models import pin_in_force, unapproved
from framegate_proto.v1 import framegate_pb2 as pb
from support.refusals import refusal
from support.registrations import approved, registration


def test_a_model_is_registered_approved_and_put_in_force(bench, models_desk):
    row = models_desk.ask("RegisterModel", registration(1))
    assert (row.name, row.version, row.state, row.registered_by, list(row.approved_by)) == (
        "boards",
        1,
        "registered",
        "operator.anna",
        [],
    )
    assert (
        models_desk.aim.summary == f"register boards 1, signed by {row.signer}"
        and models_desk.aim.target == row.digest
    )
    assert refusal(models_desk, "RegisterModel", registration(1)) == Reason.CONFLICT
    assert (
        refusal(models_desk, "PromoteModel", pb.ModelRequest(digest=row.digest, zone="line-1"))
        == Reason.MODEL
    )
    row = models_desk.ask("ApproveModel", pb.ModelRequest(digest=row.digest[:12]))
    assert (row.state, list(row.approved_by)) == ("approved", ["operator.anna", "operator.sven"])
    assert (
        refusal(models_desk, "ApproveModel", pb.ModelRequest(digest=row.digest)) == Reason.CONFLICT
    )
    row = models_desk.ask("PromoteModel", pb.ModelRequest(digest=row.digest, zone="line-1"))
    assert list(row.zones) == ["line-1"] and models_desk.told == (AccessChanged(),)
    assert (models_desk.aim.verb, models_desk.aim.zone, models_desk.aim.target) == (
        "model.promote",
        "line-1",
        row.digest,
    )
    with bench.store.reading() as tx:
        pin = verify_model_pin(
            pin_in_force(tx, "line-1"),
            "line-1",
            bench.keys.root.certificate,
            from_ms(bench.clock()),
        )
        assert pin_in_force(tx, "line-2") == b""
    assert (pin.model_sha256, pin.sequence, pin.rollback, pin.approved) == (
        row.digest,
        1,
        0,
        (row.digest,),
    )
    shown = models_desk.ask("ShowModel", pb.ModelRequest(digest=row.digest))
    assert (shown.recipe, shown.card, len(shown.pins), len(shown.files)) == (
        b'{"name": "boards", "version": 1}',
        b"card",
        1,
        3,
    )
    assert [m.digest for m in models_desk.ask("ListModels", pb.ListRequest()).models] == [
        row.digest
    ]
    told = [(e["event"], e["detail"]) for e in bench.events() if e["event"].startswith("model-")]
    assert told == [
        ("model-registered", f"boards 1, {row.digest}, signed by {row.signer}"),
        ("model-approved", f"boards 1, {row.digest}"),
        ("model-promoted", f"line-1: boards 1, {row.digest}, pin 1"),
    ]


def test_an_older_model_comes_back_only_by_a_roll_back(bench, models_desk):
    first, second = approved(models_desk, 1), approved(models_desk, 2)
    zone = {"zone": "line-1"}
    assert refusal(models_desk, "RollBackModel", pb.ModelRequest(**zone)) == Reason.NOT_FOUND
    models_desk.ask("PromoteModel", pb.ModelRequest(digest=first.digest, **zone))
    assert (
        refusal(models_desk, "PromoteModel", pb.ModelRequest(digest=first.digest, **zone))
        == Reason.CONFLICT
    )
    assert refusal(models_desk, "RollBackModel", pb.ModelRequest(**zone)) == Reason.NOT_FOUND
    models_desk.ask("PromoteModel", pb.ModelRequest(digest=second.digest, **zone))
    assert (
        refusal(models_desk, "PromoteModel", pb.ModelRequest(digest=first.digest, **zone))
        == Reason.MODEL_ROLLBACK
    )
    assert (
        refusal(models_desk, "ApproveModel", pb.ModelRequest(digest=second.digest, withdraw=True))
        == Reason.CONFLICT
    )
    row = models_desk.ask("RollBackModel", pb.ModelRequest(**zone))
    assert (row.digest, list(row.zones), models_desk.aim.verb) == (
        first.digest,
        ["line-1"],
        "model.rollback",
    )
    assert (
        bench.events("model-rolled-back")[0]["detail"] == f"line-1: boards 1, {first.digest}, pin 3"
    )
    assert (
        models_desk.ask("ApproveModel", pb.ModelRequest(digest=second.digest, withdraw=True)).state
        == "withdrawn"
    )
    assert len(bench.events("model-withdrawn")) == 1
    assert refusal(models_desk, "RollBackModel", pb.ModelRequest(**zone)) == Reason.NOT_FOUND, (
        "a withdrawn one does not come back"
    )


def test_a_gateway_may_run_the_pinned_model_or_an_approved_one_on_its_way_there(bench, models_desk):
    first, second = approved(models_desk, 1), approved(models_desk, 2)
    other = models_desk.ask("RegisterModel", registration(3))
    with bench.store.reading() as tx:
        assert unapproved(tx, "line-1", "ff" * 32) is None, "a zone without a pin asks for none"
    models_desk.ask("PromoteModel", pb.ModelRequest(digest=first.digest, zone="line-1"))
    with bench.store.reading() as tx:
        assert (
            unapproved(tx, "line-1", first.digest) is None
            and unapproved(tx, "line-1", second.digest) is None
        )
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
    ids=[
        "no signature",
        "another key",
        "no anchor",
        "another recipe",
        "another card",
        "a large card",
        "a path as name",
        "version 0",
    ],
)
def test_bundles_that_are_not_registered_and_of_which_nobody_is_asked(
    bench, models_desk, change, kind, reason
):
    with pytest.raises(kind) as caught:
        models_desk.ask("RegisterModel", registration(**change))
    assert caught.value.reason == reason and not bench.events("model-registered")
    assert models_desk.aim is None
