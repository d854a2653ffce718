"""What `framegate access show` and `approve` do with what the controller hands over."""

from contextlib import contextmanager

import pytest
from typer.testing import CliRunner

from framegate_operator import access_requests
from framegate_proto.asked import content_of
from framegate_proto.v1 import framegate_pb2 as pb

MESSAGE = pb.SetZoneRequest(zone="line-1", feed_silence="grace", remark="trust me", set_remark=True)
DIGEST = content_of(MESSAGE).digest("zone.set")


class Controller:
    """Hands over one request, and keeps what was decided."""

    def __init__(self) -> None:
        content = content_of(MESSAGE)
        row = pb.AccessRow(
            id="0a1b2c3d",
            requester="erik",
            verb="zone.set",
            zone="line-1",
            target="line-1",
            content_type=content.kind,
            content_sha256=DIGEST,
            summary=f"zone.set: {content.summary}",
            reason="nothing to see",
            state="pending",
        )
        self.reply = pb.AskedContent(row=row, content=content.body)
        self.decided: list[pb.DecideRequest] = []

    def ShowAccess(self, _request: pb.ShowAccessRequest) -> pb.AskedContent:
        return self.reply

    def DecideAccess(self, request: pb.DecideRequest) -> pb.AccessRow:
        self.decided.append(request)
        return self.reply.row


@pytest.fixture
def controller(monkeypatch):
    stub = Controller()

    @contextmanager
    def opened(_context):
        yield stub

    monkeypatch.setattr(access_requests, "operator_stub", opened)
    monkeypatch.setattr(access_requests, "load_context", lambda path: path)
    return stub


def run(*words: str):
    return CliRunner().invoke(access_requests.app, words)


def test_what_is_shown_is_what_is_approved(controller):
    done = run("approve", "0a1b")
    assert done.exit_code == 0, done.output
    assert 'feed_silence: "grace"' in done.stderr and DIGEST.hex() in done.stderr
    remarks = [line for line in done.stderr.splitlines() if "trust me" in line]
    assert remarks and all(line.startswith("  | ") for line in remarks)
    (request,) = controller.decided
    assert (request.id, request.content_sha256) == ("0a1b2c3d", DIGEST) and request.approve


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("content", pb.SetZoneRequest(zone="line-1").SerializeToString()),
        ("content", b""),
    ],
)
def test_nothing_is_approved_where_bytes_and_digest_differ(controller, member, value):
    setattr(controller.reply, member, value)
    assert run("approve", "0a1b").exit_code != 0 and not controller.decided
    controller.reply.row.summary = "zone.set: harmless"
    assert run("approve", "0a1b").exit_code != 0 and not controller.decided


def test_a_person_at_a_terminal_is_asked(controller, monkeypatch):
    monkeypatch.setattr(access_requests, "_at_a_terminal", lambda: True)
    for answer, decided in (("n\n", 0), ("y\n", 1)):
        CliRunner().invoke(access_requests.app, ["approve", "0a1b"], input=answer)
        assert len(controller.decided) == decided
    CliRunner().invoke(access_requests.app, ["approve", "0a1b", "--yes"])
    assert len(controller.decided) == 2


def test_a_no_needs_nothing_shown(controller):
    controller.reply.content = b"junk"
    assert run("deny", "0a1b2c3d", "--reason", "no").exit_code == 0
    assert not controller.decided[0].approve


def test_a_review_has_no_message(controller):
    row = pb.AccessRow(id="0a1b2c3d", requester="anna", verb="break-glass", state="pending")
    controller.reply = pb.AskedContent(row=row)
    assert run("approve", "0a1b").exit_code == 0
    assert controller.decided[0].content_sha256 == b""


def test_the_whole_request_is_shown_as_data_too(controller, tmp_path):
    import json

    done = run("show", "0a1b", "-o", "json", "--save", str(tmp_path))
    told = json.loads(done.stdout)
    assert told["content_sha256"] == DIGEST.hex() and told["requester"] == "erik"
    assert {m["member"] for m in told["members"] if m["remark"]} == {"remark"}
    assert "nothing is in force in its place" in run("show", "0a1b").stdout
