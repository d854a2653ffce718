"""Records of the protocol and the text of a ticket."""

from dataclasses import replace

import pytest

from framegate.codec import Record, numbers
from framegate.errors import Malformed, Reason
from framegate.wire import Hello, SessionOffer, parse_ticket, ticket_text
from framegate.wire import Ticket as TicketRecord


def test_records_refuse_values_past_their_limits():
    good = {
        "client_nonce": b"n" * 32,
        "ticket_code": b"",
        "ek_certificates": (),
        "ek_public": b"",
        "ak_public": b"",
        "tls_public": b"",
        "iak_public": b"",
        "iak_certificates": (),
    }
    numbers = {"manufacturer": 0, "firmware_version": 0, "boot_log_size": 0, "ima_log_size": 0}
    for change in (
        {"client_nonce": b"n"},
        {"ticket_code": b"x" * 17},
        {"ek_certificates": (b"",) * 7},
        {"manufacturer": 2**32},
        {"manufacturer": -1},
    ):
        with pytest.raises(Malformed):
            Hello(**{**good, **numbers, **change}).marshal()
    with pytest.raises(Malformed):
        SessionOffer.parse(Hello(**good, **numbers).marshal())


def test_ticket_text_roundtrip_and_damage():
    ticket = TicketRecord(
        join_address="a:1",
        fleet_address="a:2",
        server_name="s",
        root=b"r",
        code=b"c" * 16,
        issued_at_ms=1,
    )
    text = ticket_text(ticket)
    assert parse_ticket(f"  {text}\n") == ticket
    for bad in (
        "",
        "hello",
        text[:-4],
        text.replace("framegate", "framegait"),
        text[:30] + "!" + text[31:],
    ):
        with pytest.raises(Malformed):
            parse_ticket(bad)


@pytest.mark.parametrize("pcrs", [(1, 0), (3, 3), (0, 1, 1), (5, 6, 2)])
def test_numbers_of_a_record_ascend_each_once(pcrs):
    class Listed(Record):
        LABEL = "framegate/v1/listed"
        pcrs: tuple[int, ...] = numbers(4)

    good = Listed(pcrs=tuple(range(len(pcrs)))).marshal()
    with pytest.raises(Malformed, match="ascending"):
        Listed(pcrs=pcrs).marshal()
    with pytest.raises(Malformed, match="ascending"):
        Listed.parse(good[: -len(pcrs)] + bytes(pcrs))


def test_texts_that_a_record_refuses():
    good = TicketRecord(
        join_address="here:1",
        fleet_address="",
        server_name="",
        root=b"",
        code=bytes(16),
        issued_at_ms=1,
    )
    raw = good.marshal()
    assert TicketRecord.parse(raw) == good
    for text, message in ((b"\xffere:1", "UTF-8 in join_address"), (b"\x1bere:1", "no control")):
        with pytest.raises(Malformed, match=message) as caught:
            TicketRecord.parse(raw.replace(b"here:1", text))
        assert caught.value.reason == Reason.MALFORMED
    with pytest.raises(Malformed, match="no control characters"):
        replace(good, join_address="a\x9b").marshal()
