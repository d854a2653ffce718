"""N141: a camera's password in messages, logs, states and command lines."""

import asyncio
import logging
import re
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar
from unittest.mock import patch
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import Failure, FramegateError, Reason, Unavailable
from framegate.redaction import holds_credentials, is_encoded, redacted
from framegate.registry.sink import SinkKind, parse_address
from framegate_agent.camera import capture as capturing
from framegate_agent.camera.capture import Capture
from framegate_agent.camera.child_messages import LEFT_OUT, MAX_LINE, pass_on
from framegate_agent.camera.source_names import named_source
from framegate_agent.camera.sources import open_source
from framegate_agent.settings import AgentSettings
from framegate_controller.people.oidc import OidcProvider, OidcSettings
from framegate_controller.registry_address import address_problems
from framegate_host.broker_client import Broker
from framegate_host.console import safe
from framegate_host.logs import start_logging
from framegate_host.setting_records import Settings
from framegate_host.setting_values import Setting
from framegate_host.settings import Given, resolve
from support.refusals import refused

ENCODED = "rtsp://operator:S3cr3t%40pw@127.0.0.1:9/stream"
RAW = "rtsp://operator:p@ss#w0rd@127.0.0.1:9/stream"
SECRETS = ("S3cr3t", "S3cr3t%40pw", "S3cr3t@pw", "p@ss#w0rd", "w0rd", "#w0")
SHOWN = "rtsp://operator:***@127.0.0.1:9/stream"


def spoken(text: str) -> None:
    """That no secret is in what somebody reads."""
    assert not [s for s in SECRETS if s in text], text


@pytest.mark.parametrize("address", [ENCODED, RAW])
def test_n141_an_address_is_shown_with_its_user_and_its_host(address):
    assert redacted(f"no answer of {address}, again") == f"no answer of {SHOWN}, again"


PASSWORDS = st.text(
    st.characters(blacklist_categories=("Cs", "Cc", "Zs", "Zl", "Zp"), max_codepoint=0x2FF),
    min_size=4,
    max_size=40,
).filter(lambda p: not re.fullmatch(r"[*]+", p))


@given(PASSWORDS, st.booleans(), st.sampled_from(["rtsp", "https", "mqtts", "rtsp+tls"]))
def test_n141_no_password_comes_through_encoded_or_as_it_was_typed(password, encoded, scheme):
    written = quote(password, safe="") if encoded else password
    for text in (f"{scheme}://user:{written}@cam/1", f"got '{scheme}://user:{written}@cam:554/1'"):
        assert f":{written}@" not in redacted(text)
        assert f"{scheme}://user:***@cam" in redacted(text)


@given(PASSWORDS)
def test_n141_an_encoded_address_is_one_to_use_and_others_are_not(password):
    assert is_encoded(f"rtsp://user:{quote(password, safe='')}@cam/1")
    if set(password) & set("@:/?#") and not re.match(r"\d{1,5}[/?#]", password):
        assert not is_encoded(f"rtsp://user:{password}@cam/1")


@given(st.text(max_size=300))
def test_redaction_takes_any_text_and_does_it_once(text):
    once = redacted(text)
    assert redacted(once) == once


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("rtsp://cam/s?user=admin&password=S3cr3t&x=1", "rtsp://cam/s?user=admin&password=***&x=1"),
        ("pkcs11:token=plant?pin-value=123456", "pkcs11:token=plant?pin-value=***"),
        ("pkcs11:token=plant;pin-value=123456;x=1", "pkcs11:token=plant;pin-value=***;x=1"),
        ("https://S3cr3t@host/x", "https://***@host/x"),
        ("http://u:S3cr3t@proxy:3128 refused", "http://u:***@proxy:3128 refused"),
        ("https://x/cb?access_token=S3cr3t", "https://x/cb?access_token=***"),
    ],
)
def test_n141_credentials_in_queries_and_attributes(text, shown):
    assert redacted(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "rtsp://cam:554/stream",
        "https://login.example.net/realm?x=1&y=2",
        "device:/dev/tpmrm0",
        "swtpm:path=/run/s",
        "framegate operator add NAME --oidc-subject mail@example.net",
        "pin-file=/etc/pin; key=value",
        "camera.line-1.cam1",
    ],
)
def test_what_is_no_credential_stays(text):
    assert redacted(text) == text and not holds_credentials(text)


@pytest.mark.parametrize("address", ["rtsp://cam:554/stream@2", "rtsp://cam/a@b", "rtsp://[::1]/x"])
def test_hosts_ports_and_paths_are_no_passwords(address):
    assert is_encoded(address) and not holds_credentials(address)


@pytest.mark.parametrize("address", [ENCODED, RAW])
def test_n141_no_error_holds_one_whoever_raised_it(address):
    failure = Failure(Reason.UNAVAILABLE, f"a camera at {address}", address, f"try {address}")
    error = Unavailable.of(Reason.UNAVAILABLE, address, OSError(f"no {address}"), address)
    for text in (str(failure), str(failure.as_dict()), str(error), repr(error), safe(address)):
        spoken(text)


@pytest.mark.parametrize("address", [ENCODED, RAW])
def test_n141_no_log_line_no_traceback_and_no_unforeseen_error_holds_one(address):
    script = (
        "import logging, sys, threading\n"
        "from framegate_host.logs import start_logging\n"
        "start_logging(verbose=True)\n"
        "address = sys.stdin.read()\n"
        "logging.getLogger('urllib3').warning('retry %s', address)\n"
        "try:\n    raise OSError(address)\n"
        "except OSError:\n    logging.exception('failed')\n"
        "def fail():\n    raise OSError(address)\n"
        "thread = threading.Thread(target=fail)\n"
        "thread.start(); thread.join()\n"
        "fail()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], input=address, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and done.stderr.count(SHOWN) == 4, done.stderr
    spoken(done.stderr)


def test_start_logging_leaves_other_tests_their_excepthook(monkeypatch):
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)
    monkeypatch.setattr("threading.excepthook", None, raising=False)
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    start_logging(verbose=False)
    assert sys.excepthook is not sys.__excepthook__


async def child(source: str, capfd) -> str:
    """What comes to standard error while an agent photographs by `source`, which it cannot, until
    it would be opened again.
    """
    capture = Capture(source, part_type="part", rate=0.0, repeat=False, unconfined=True)
    with patch.object(capturing.asyncio, "sleep", side_effect=Again), suppress(Again):
        async for _ in capture.frames():
            pytest.fail("a frame")
    return capfd.readouterr().err


class Again(Exception):
    """A source that broke off is about to be opened again."""


@pytest.mark.parametrize("address", [ENCODED, RAW])
async def test_n141_neither_the_capture_child_nor_its_libraries_say_a_password(
    tmp_path, capfd, address
):
    """FFmpeg and OpenCV write the address that they cannot open to standard error themselves."""
    file = tmp_path / "camera"
    file.write_text(address)
    file.chmod(0o600)
    for source in (f"address:{file}", address):
        said = await child(source, capfd)
        assert SHOWN in said and "written as %40" in said
        spoken(said)


async def test_n141_an_address_that_its_password_ends_early_is_never_asked_for(capfd, monkeypatch):
    """FFmpeg, or whoever looks the host up, would ask the network for a part of the password."""
    assert refused(lambda: named_source(RAW)) == Reason.USAGE
    said = await child(RAW, capfd)
    assert "percent-encoding" in said and "tcp" not in said


async def test_n141_a_makers_program_says_none_either(tmp_path, capfd):
    program = tmp_path / "maker"
    program.write_text(f"#!/bin/sh\necho 'cannot open {ENCODED}' >&2\n")
    program.chmod(0o700)
    said = await child(f"exec:{program}", capfd)
    assert SHOWN in said
    spoken(said)


async def test_n141_a_password_that_stands_alone_in_a_librarys_message_is_masked(tmp_path):
    said, out = asyncio.StreamReader(), tmp_path / "out"
    said.feed_data(b"auth with S3cr3t@pw failed\nS3cr3t%40pw is wrong\n" + b"x " * 20_000)
    said.feed_eof()
    with out.open("wb") as file:
        await pass_on(said, ENCODED, file.fileno())
    told = out.read_text()
    spoken(told)
    assert told.startswith("auth with *** failed\n*** is wrong\n") and told.count("x") == 20_000


class Pieces(asyncio.StreamReader):
    """What a program says, a piece a read."""

    def __init__(self, *pieces: bytes) -> None:
        super().__init__()
        self._pieces = list(pieces)

    async def read(self, n: int = -1) -> bytes:
        assert all(len(piece) <= n for piece in self._pieces)
        return self._pieces.pop(0) if self._pieces else b""


async def passed_on(tmp_path, source: str, *pieces: bytes) -> str:
    """What comes of a program that says this."""
    out = tmp_path / "out"
    with out.open("wb") as file:
        parts = [p[at : at + MAX_LINE] for p in pieces for at in range(0, len(p), MAX_LINE)]
        await pass_on(Pieces(*parts), source, file.fileno())
    return out.read_text()


SPACED = "rtsp://operator:S3cr3t%20of%20ours@127.0.0.1:9/stream"


@pytest.mark.parametrize("across", range(1, 24))
@pytest.mark.parametrize(
    ("source", "secret"),
    [
        (ENCODED, "S3cr3t@pw"),
        (ENCODED, "rtsp://operator:S3cr3t%40pw@127.0.0.1:9/s"),
        (SPACED, "S3cr3t of ours"),
        ("device:0", "rtsp://other:An0th3r-s3cr3t@10.0.0.9/s"),
        ("device:0", "http://10.0.0.9/s?user=a&password=An0th3r-s3cr3t"),
    ],
)
async def test_n141_no_line_is_cut_within_a_password(tmp_path, source, secret, across):
    """A line that is too long goes out in pieces, wherever it was read."""
    begin = b"words " * (MAX_LINE // 6 + 2)
    begin = begin[: MAX_LINE + 1 - across]
    said = secret.encode()
    for pieces in (
        (begin + said + b" is wrong", b" and so on"),
        (begin + said[:across], said[across:] + b" is wrong"),
        (begin + b" ", said[:across], said[across:] + b" is wrong\n"),
        (b"x" * (2 * MAX_LINE - across) + said, b" and so on"),
        (b"x" * (MAX_LINE + 9) + said[:across], said[across:] + b" and so on"),
    ):
        told = await passed_on(tmp_path, source, *pieces)
        for part in ("S3cr", "3t@pw", "3t%40", "t of o", "ours", "s3cr3t", "An0"):
            assert part not in told, (across, told[-200:])
        assert told.rstrip().endswith(("is wrong", "and so on", LEFT_OUT.decode()))


async def test_n141_a_word_without_an_end_is_left_out_and_said(tmp_path):
    told = await passed_on(tmp_path, "exec:x", b"y" * MAX_LINE, b"y" * MAX_LINE, b"y end\nnext\n")
    assert told == LEFT_OUT.decode() + "\nnext\n"


LONG = "postgresql://framegate:" + "S3cr3t" * 40 + "@db.plant.example/framegate"


@pytest.mark.parametrize(
    "refuse",
    [
        lambda: parse_address(SinkKind.HEC, LONG),
        lambda: parse_address(SinkKind.KAFKA, LONG),
        lambda: Broker.parse(LONG),
        lambda: open_source(LONG, "x"),
    ],
)
def test_n141_an_address_that_is_cut_is_masked_before(refuse):
    """Half an address has no end by which its password is found."""
    with pytest.raises(FramegateError) as caught:
        refuse()
    spoken(str(caught.value))


@pytest.mark.parametrize("address", [LONG.replace("postgresql", "mysql"), LONG[:-10]])
def test_n141_a_database_address_that_is_cut_is_masked_before(address):
    assert address_problems(address)
    for problem in address_problems(address):
        spoken(str(problem))


@pytest.mark.parametrize("place", ["flag", "variable", "file"])
@pytest.mark.parametrize("address", [ENCODED, RAW, "rtsp://cam/s?user=a&password=S3cr3t"])
def test_n141_no_program_is_told_a_password_in_its_settings(tmp_path, place, address):
    file = tmp_path / "agent.toml"
    file.write_text(f'source = ["{address}"]\n')
    given_by = {
        "flag": Given(flags={"source": (address,)}),
        "variable": Given(environment={"FRAMEGATE_AGENT_SOURCE": address}),
        "file": Given(file=file),
    }[place]
    with pytest.raises(FramegateError) as caught:
        resolve(AgentSettings, given_by).settings()
    told = str(caught.value)
    spoken(told)
    assert "address:FILE" in told
    assert ("change it" in told) == (place == "flag")


def test_n141_framegate_agent_run_refuses_and_says_what_to_do(tmp_path):
    program = Path(sys.executable).parent / "framegate-agent"
    done = subprocess.run(
        [program, "run", "--state", str(tmp_path / "state"), "--source", RAW],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "--source address:FILE" in done.stderr
    spoken(done.stderr + done.stdout)


@dataclass(frozen=True, slots=True, kw_only=True)
class Other(Settings):
    PROGRAM: ClassVar[str] = "other"
    address: Annotated[str, Setting("An address.")] = ""


def test_n141_a_setting_of_any_program_is_checked():
    resolved = resolve(Other, Given(flags={"address": ("mqtts://u:S3cr3t@broker",)}))
    assert resolved.misread


def test_n141_a_providers_address_has_no_credentials():
    settings = OidcSettings("https://u:S3cr3t@login.example.net", "framegate")
    with pytest.raises(FramegateError) as caught:
        OidcProvider(settings, None)
    spoken(str(caught.value))
    assert refused(lambda: OidcProvider(settings, None)) == Reason.USAGE
