"""`framegate site …` and receipts of other sites: what people and programs are told."""

import contextlib
import json
import time
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from framegate.errors import Reason, Unavailable
from framegate.federation.bundle import parse_bundle
from framegate_operator import contexts, receipts, site_overview, site_receipts, sites
from framegate_operator.contexts import OperatorContext
from framegate_operator.main import app
from framegate_proto.v1 import framegate_pb2 as pb
from support.other_sites import bundle, pinned
from support.receipts import proved

RUNNER = CliRunner()
NOW = time.time_ns() // 1_000_000


def row(keys, name="north", **members) -> pb.SiteRow:
    given = {
        "name": name,
        "fleet": keys.fleet,
        "endpoint": "n.example.net:7446",
        "bundle": bundle(keys),
        "sequence": pinned(keys).sequence,
        "refresh_s": 300,
        "standing": "trusted",
        "link": "up",
        "seen_ms": NOW - 5_000,
        "added_ms": NOW - 9_000,
        "by": "operator.anna",
    }
    return pb.SiteRow(**{**given, **members})


class Controllers:
    """Controllers that answer by the context's file: what each says of sites and machines."""

    def __init__(self) -> None:
        self.sites: list[pb.SiteRow] = []
        self.states: dict[str, dict[str, int] | Exception] = {"own": {"trusted": 3, "suspect": 0}}
        self.added: list[pb.AddSiteRequest] = []

    def stub(self, context, _timeout_s=0):
        def status(_request):
            states = self.states[context.path.stem]
            if isinstance(states, Exception):
                raise states
            return pb.FleetStatusReply(states=states)

        def add(request):
            self.added.append(request)
            return self.sites[0]

        return contextlib.nullcontext(
            SimpleNamespace(
                ListSites=lambda _r: pb.SitesReply(sites=self.sites, fleet="plant", now_ms=NOW),
                FleetStatus=status,
                AddSite=add,
                WithdrawSite=lambda _r: self.sites[0],
            )
        )


@pytest.fixture
def at(monkeypatch, keys, tmp_path):
    """Controllers of a person who is signed in at their own."""
    controllers = Controllers()

    def context_of(path, root=keys.root.pem):
        return OperatorContext(path, "j", "f", "controller.plant.framegate", root, "anna")

    own = context_of(tmp_path / "own.json")
    monkeypatch.setattr(contexts, "FOLDER", tmp_path)
    (tmp_path / "contexts").mkdir()
    for module in (sites, site_overview):
        monkeypatch.setattr(module, "operator_stub", controllers.stub)
    for module in (sites, receipts):
        monkeypatch.setattr(module, "load_context", lambda _path: own)
    monkeypatch.setattr(site_overview, "load_context", lambda path: context_of(path))
    monkeypatch.setattr(sites, "read_context", lambda _path: own)
    return controllers


def asked(*argv, code=0):
    done = RUNNER.invoke(app, [str(a) for a in argv])
    assert done.exit_code == code, done.output
    return done


def overview(*argv) -> list[dict]:
    return json.loads(asked(*argv, "-o", "json").stdout)


def test_what_is_not_known_is_never_a_number(at, north):
    since = NOW - 60_000
    at.sites = [
        row(north, link="down", failing_ms=since, error="unavailable: nobody", failures=3),
    ]
    here, there = overview("--sites")
    assert (here["link"], here["machines"]) == ("here", {"trusted": 3, "suspect": 0})
    assert (there["machines"], there["unknown_since_ms"], there["link"]) == (None, since, "down")
    table = asked("--sites").stdout
    line = next(x for x in table.splitlines() if x.startswith("north"))
    assert " ? " in line and "down" in line and " 0" not in line


def test_one_that_was_never_seen_says_so(at, north):
    at.sites = [row(north, link="never", seen_ms=0)]
    (_, there) = overview("site", "status")
    assert (there["seen_ms"], there["unknown_since_ms"], there["machines"]) == (None, None, None)
    assert "never seen" in asked("site", "status").stdout


@pytest.fixture
def context_there(at, north, monkeypatch, tmp_path):
    """A context of the other site, kept under a name."""
    (tmp_path / "contexts" / "there.json").write_text("{}")

    def there(path):
        return OperatorContext(path, "j", "f", "controller.north.framegate", north.root.pem, "nora")

    monkeypatch.setattr(contexts, "read_context", there)


def test_who_is_signed_in_there_sees_that_sites_machines(at, north, context_there):
    at.sites, at.states["there"] = [row(north)], {"trusted": 7}
    assert overview("--sites")[1]["machines"] == {"trusted": 7}


def test_a_site_that_does_not_answer_is_unknown_and_the_others_are_not(at, north, context_there):
    at.sites = [row(north)]
    at.states["there"] = Unavailable.of(Reason.UNAVAILABLE, "an answer", "none")
    here, there = overview("--sites")
    assert (here["machines"]["trusted"], there["machines"]) == (3, None)
    assert there["why"].startswith("unavailable")


def test_a_list_and_one_of_them(at, north):
    at.sites = [row(north, offered=["ab" * 32])]
    (one,) = json.loads(asked("site", "list", "-o", "json").stdout)
    (key,) = pinned(north).keys
    assert (one["keys"], one["offered"], one["failing_ms"]) == ([key], ["ab" * 32], None)
    shown = asked("site", "show", "north").stdout
    assert key in shown and "offers, not approved" in shown
    assert "site-unknown" in asked("site", "show", "east", code=4).stderr
    assert "north" in asked("site", "list").stdout


def test_no_site_so_far(at):
    assert "site add" in asked("site", "list").stderr


def test_our_bundle_is_written_without_a_controller(at, keys, tmp_path):
    out = tmp_path / "b.json"
    done = asked("site", "bundle", "--out", out)
    assert parse_bundle(out.read_bytes()) == pinned(keys)
    assert next(iter(pinned(keys).keys)) in done.stderr.replace("\n", "")
    assert parse_bundle(asked("site", "bundle").stdout.encode()) == pinned(keys)


def test_what_is_pinned_of_another_is_written_too(at, north, tmp_path):
    at.sites, out = [row(north)], tmp_path / "b.json"
    asked("site", "bundle", "north", "--out", out)
    assert out.read_bytes() == bundle(north)


def test_a_file_that_is_no_bundle_is_not_sent(at, north, tmp_path):
    file = tmp_path / "b.json"
    file.write_bytes(b"{}")
    argv = ("site", "add", "north", "--bundle", file, "--endpoint", "h:1")
    assert "site-bundle" in asked(*argv, code=1).stderr
    file.write_bytes(bundle(north))
    at.sites = [row(north)]
    asked(*argv)
    assert [r.bundle for r in at.added] == [bundle(north)]


async def file_of(desk, tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_text("\n".join(json.dumps(r) for r in await proved(desk)))
    return file


async def test_n198_receipts_of_a_site_are_counted_as_its(
    at, monkeypatch, keys, north, receipts_desk, tmp_path
):
    """Here is `north`; the receipts are of `plant`, which is pinned as south."""
    file = await file_of(receipts_desk, tmp_path)
    own = OperatorContext(tmp_path / "own.json", "j", "f", "s", north.root.pem, "anna")
    monkeypatch.setattr(receipts, "load_context", lambda _path: own)
    at.sites = [row(keys, "south")]
    body = json.loads(asked("receipt", "verify", file, "--site", "south", "-o", "json").stdout)
    assert body["good"] and body["sites"] == {"south": body["good"]}
    assert "of site south" in asked("receipt", "verify", file, "--any-site").stdout
    at.sites = [row(keys, "south", standing="withdrawn"), row(north, "east")]
    gone = asked("receipt", "verify", file, "--site", "south", code=4)
    assert "site-withdrawn" in gone.stderr and "south" in gone.stderr
    assert "which was withdrawn" in asked("receipt", "verify", file, "--any-site", code=6).stdout
    other = asked("receipt", "verify", file, "--site", "east", code=6).stdout
    assert "withdrawn" in other
    at.sites = [row(keys, "south"), row(north, "east")]
    other = asked("receipt", "verify", file, "--site", "east", code=6).stdout
    assert "got one of site south" in " ".join(other.split())
    unknown = asked("receipt", "verify", file, "--site", "west", code=4).stderr
    assert "site-unknown" in unknown and "west" in unknown


def test_one_anchor_at_a_time(at, tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_text("")
    for argv in (("--root", file, "--site", "a"), ("--site", "a", "--any-site")):
        assert "usage" in asked("receipt", "verify", file, *argv, code=2).stderr


def test_what_is_asked_for_is_what_counts_now(at, keys, north):
    at.sites = [row(north)]
    own = OperatorContext(None, "j", "f", "s", keys.root.pem, "anna")
    first = site_receipts.receipts_of_sites(own, "north", need_camera=True, need_log=True)
    assert [s.name for s in first.known] == ["north", "plant, which is this one"]
