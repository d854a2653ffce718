"""Records of the protocol and the text of a ticket."""

import pytest

from framegate.errors import Malformed
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
