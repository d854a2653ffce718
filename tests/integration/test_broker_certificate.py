"""The certificate of a real mosquitto, as whoever connects to it sees and tells it."""

import asyncio
import contextlib
import socket
import ssl
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest

from framegate.errors import Reason
from framegate.findings.kinds import MAX_SAID
from framegate.identity.certificates import Purpose
from framegate_controller.ca.template import LIVES
from framegate_gateway.verdicts.publish import Publisher
from framegate_host import broker_certificate
from framegate_host.broker_certificate import broker_life, end_said, watch_broker_end
from framegate_host.broker_client import Broker
from framegate_host.broker_tls import named_context
from framegate_line.broker import LineBroker
from support.mosquitto import NAME

LIFE = LIVES[Purpose.SERVER]


def trusting(mosquitto, name=NAME):
    """As a gateway looks: with nothing of its own to show."""
    context = named_context(name)
    context.load_verify_locations(cadata=mosquitto.keys.issuing["server-ca"].pem.decode())
    return context


async def told(mosquitto, monkeypatch, context, *, looks: int = 1):
    """What is told in so many looks, without a day or a minute between them."""
    said, slept = [], []

    async def sleep(seconds):
        slept.append(seconds)
        if len(slept) == looks:
            raise TimeoutError

    monkeypatch.setattr(broker_certificate.asyncio, "sleep", sleep)
    with contextlib.suppress(TimeoutError):
        await watch_broker_end(mosquitto.broker, NAME, context, lambda *what: said.append(what))
    return said, slept


@pytest.mark.parametrize("shown", ["nothing", "a line's certificate"])
def test_it_is_seen_with_and_without_a_certificate_of_ones_own(mosquitto, shown):
    made = datetime.now(UTC) - timedelta(days=70)
    mosquitto.certify(made)
    mosquitto.start()
    context = trusting(mosquitto) if shown == "nothing" else mosquitto.line_context()
    life = broker_life(mosquitto.broker, context, NAME)
    assert abs(life.ends - made - LIFE) < timedelta(seconds=1)


async def test_one_that_ends_soon_is_told_with_the_command_that_makes_the_next(
    mosquitto, monkeypatch
):
    mosquitto.certify(datetime.now(UTC) - LIFE + timedelta(days=20, hours=1))
    mosquitto.start()
    said, slept = await told(mosquitto, monkeypatch, lambda: trusting(mosquitto), looks=2)
    assert slept == [broker_certificate.AGAIN.total_seconds()] * 2
    ((reason, text), again) = said
    assert reason == Reason.CERTIFICATE_ENDING and again == (reason, text)
    assert text.startswith(f"the certificate of {NAME} ends in 20 days")
    assert "framegate-controller server-certificate broker --out FOLDER" in text
    assert len(text) <= MAX_SAID, "a finding holds it whole"


async def test_one_that_has_ended_is_told_though_nobody_connects_any_more(mosquitto, monkeypatch):
    mosquitto.certify(datetime.now(UTC) - LIFE - timedelta(days=1))
    mosquitto.start()
    with pytest.raises(ssl.SSLCertVerificationError):
        broker_life(mosquitto.broker, trusting(mosquitto), NAME)
    said, _ = await told(mosquitto, monkeypatch, lambda: trusting(mosquitto))
    ((reason, text),) = said
    assert reason == Reason.CERTIFICATE_ENDING and f"of {NAME} has ended: " in text


async def test_the_next_one_ends_it_while_connections_of_before_stand(mosquitto, monkeypatch):
    mosquitto.certify(datetime.now(UTC) - LIFE + timedelta(days=3))
    mosquitto.start()
    assert (await told(mosquitto, monkeypatch, lambda: trusting(mosquitto)))[0]
    mosquitto.stop()
    mosquitto.certify(datetime.now(UTC))
    mosquitto.start()
    assert (await told(mosquitto, monkeypatch, lambda: trusting(mosquitto)))[0] == []


async def test_one_that_is_new_is_not_told(mosquitto, monkeypatch):
    mosquitto.start()
    assert (await told(mosquitto, monkeypatch, lambda: trusting(mosquitto)))[0] == []


async def test_another_brokers_is_none_of_ours(mosquitto, monkeypatch):
    """By another name, or of another authority: told by whoever cannot connect, not as an end."""
    mosquitto.certify(datetime.now(UTC) - LIFE + timedelta(days=3))
    mosquitto.start()
    strange = named_context(NAME)
    for context in (trusting(mosquitto, "other.plant.framegate"), strange):
        said, slept = await told(mosquitto, monkeypatch, lambda context=context: context)
        assert (said, slept) == ([], [broker_certificate.RETRY_S])


async def test_where_there_is_none_and_nothing_to_trust_it_by_it_is_tried_again(
    mosquitto, monkeypatch
):
    for context in (lambda: trusting(mosquitto), lambda: None):  # it was not started
        said, slept = await told(mosquitto, monkeypatch, context, looks=3)
        assert (said, slept) == ([], [broker_certificate.RETRY_S] * 3)


async def test_a_broker_that_never_ends_its_handshake_is_not_waited_for(mosquitto, monkeypatch):
    monkeypatch.setattr(broker_certificate, "CONNECT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # connects, and says nothing
        at = Broker("127.0.0.1", silent.getsockname()[1])
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(broker_life, at, trusting(mosquitto), NAME)


def test_what_is_said_of_a_fleet_with_a_long_name_names_the_command_still():
    said = end_said(None, f"broker.{'x' * 40}.framegate", datetime.now(UTC))
    assert len(said) <= MAX_SAID and said.endswith("restart that")


def by_a_gateway(mosquitto, said):
    """As its publisher looks, by what its warrant brought it of the fleet."""
    authority = mosquitto.keys.issuing["server-ca"].pem
    keys = SimpleNamespace(credentials=SimpleNamespace(authority=lambda _label: authority))
    publisher = Publisher(str(mosquitto.broker), NAME, keys)
    publisher.trouble = lambda *what: said.append(what)
    return publisher.watch_certificate()


def by_a_line(mosquitto, said):
    """As its adapter looks, with its own certificate."""
    credentials = SimpleNamespace(context=lambda _name: mosquitto.line_context())
    rules = SimpleNamespace(line="press-7")
    link = LineBroker(rules, credentials, str(mosquitto.broker), NAME, lambda _verdict: None)
    return link.watch_certificate(lambda *what: said.append(what))


@pytest.mark.parametrize("watch", [by_a_gateway, by_a_line])
async def test_gateways_and_lines_look_and_tell_it_among_the_brokers_troubles(
    mosquitto, monkeypatch, watch
):
    mosquitto.certify(datetime.now(UTC) - LIFE + timedelta(days=20, hours=1))
    mosquitto.start()

    async def once(_seconds):
        raise TimeoutError

    monkeypatch.setattr(broker_certificate.asyncio, "sleep", once)
    said = []
    with contextlib.suppress(TimeoutError):
        await watch(mosquitto, said)
    ((reason, text),) = said
    assert reason == Reason.CERTIFICATE_ENDING and "ends in 20 days" in text


async def test_a_gateway_that_has_no_credentials_yet_asks_nobody(mosquitto, monkeypatch):
    publisher = Publisher(str(mosquitto.broker), NAME, SimpleNamespace(credentials=None))
    slept = []

    async def once(seconds):
        slept.append(seconds)
        raise TimeoutError

    monkeypatch.setattr(broker_certificate.asyncio, "sleep", once)
    with contextlib.suppress(TimeoutError):
        await publisher.watch_certificate()
    assert slept == [broker_certificate.RETRY_S]
