"""N220: a gateway that hands out verdicts of which no proof holds, or another's, hides nothing that
holds, and is named.
"""

import contextlib
import json
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.errors import Malformed, Reason
from framegate_operator import part_types, verdict_names, verdict_reviews, verdicts
from framegate_operator.main import app
from framegate_operator.verdict_names import handed_out, verdict_named, verified_verdicts
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.fixtures.gateway import HOST
from support.flipped import flipped

GATEWAY, OTHER = str(HOST), "gateway.line-1.other"


@pytest.fixture
async def signed(receipts_desk):
    """Envelopes of verdicts that hold."""
    return [await receipts_desk.frame(number) for number in (10, 11, 12)]


@pytest.fixture
def operator(keys):
    return SimpleNamespace(
        root_certificate=keys.root.certificate,
        authority_certificates=tuple(k.certificate for k in keys.issuing.values()),
    )


@pytest.fixture
def plant(monkeypatch, operator):
    """Gateways that hand out what they are told to."""

    def stand(**said):
        endpoints = [(name, "h:1") for name in said]

        @contextlib.contextmanager
        def stub(_operator, device, _address, *_timeout):
            told = pb.Verdicts(verdicts=said[device])
            yield SimpleNamespace(ListVerdicts=lambda _request, **_how: told)

        for module in (verdict_names, part_types, verdicts, verdict_reviews):
            monkeypatch.setattr(module, "gateways", lambda _operator: endpoints)
            monkeypatch.setattr(module, "gateway_stub", stub)
        monkeypatch.setattr(verdicts, "load_context", lambda _context: operator)
        return operator

    return stand


def listed(*options):
    return CliRunner().invoke(app, ["verdict", "list", *options])


def test_n220_what_holds_is_taken_and_the_rest_is_told(operator, signed, capsys):
    handed = handed_out(operator, GATEWAY, [signed[0], flipped(signed[1], 40), b"", signed[2]])
    assert [each.envelope for each in handed.signed] == [signed[0], signed[2]]
    assert len(handed.problems) == 2
    said = capsys.readouterr().err
    assert GATEWAY in said and "2 verdicts of which no proof holds" in said


def test_n220_anothers_verdict_is_not_a_gateways_to_hand_out(operator, signed):
    handed = handed_out(operator, OTHER, signed)
    assert not handed.signed and {p.reason for p in handed.problems} == {Reason.VERDICT}
    assert len(handed_out(operator, GATEWAY, signed).signed) == 3


def test_n220_one_that_does_not_hold_is_an_error_where_it_alone_is_asked_for(operator, signed):
    with pytest.raises(Malformed):
        verified_verdicts(operator, [signed[0], b"{}"])


def test_n220_a_list_shows_what_holds_names_who_lies_and_fails(plant, signed):
    plant(**{GATEWAY: signed, OTHER: [b"garbage"]})
    done = listed()
    assert done.exit_code == 6
    assert all(f"p{n}" in done.stdout for n in (10, 11, 12))
    assert f"framegate why {OTHER}" in done.stderr and GATEWAY not in done.stderr
    assert len(json.loads(listed("-o", "json").stdout)) == 3


def test_n220_a_list_of_lies_alone_does_not_say_that_there_is_no_verdict(plant, signed):
    plant(**{OTHER: signed})
    done = listed()
    assert done.exit_code == 6 and "none that holds" in done.output
    assert "have no verdict" not in done.output


def test_n220_a_sound_list_says_nothing_of_anybody(plant, signed):
    plant(**{GATEWAY: signed})
    done = listed()
    assert done.exit_code == 0 and not done.stderr


def test_n220_a_verdict_is_reviewed_although_another_gateway_lies(plant, signed):
    operator = plant(**{OTHER: [b"garbage", signed[1]], GATEWAY: signed})
    wanted = verified_verdicts(operator, [signed[1]])[0].verdict_id
    assert verdict_reviews._envelope(operator, wanted) == signed[1]
    assert verdict_named(operator, wanted) == wanted


def test_n220_part_types_are_not_whole_where_a_gateway_lies(plant, signed):
    assert part_types.ask_types(plant(**{GATEWAY: signed})).whole
    told = part_types.ask_types(plant(**{GATEWAY: signed, OTHER: [b"garbage"]}))
    assert not told.whole and [t.part_type for t in told.types] == ["t"]
