"""N205: a camera that demands it seals for no model, and for no gateway's host, that rests on what
witnesses did not see decided.
"""

import asyncio
from dataclasses import fields, replace

import pytest

from framegate.errors import Reason
from framegate.signed.statement import Grant
from framegate.transparency.cosignature import cosign
from framegate.transparency.note import parse_note
from framegate_agent.camera.logged_grants import logged_grants
from framegate_controller.record import decisions
from framegate_controller.rpc.decisions import to_decisions, to_named
from support.decided import MODEL, fork_files


class Stub:
    """The controller's fleet service, as far as a camera asks it here."""

    def __init__(self, decided) -> None:
        self.decided, self.asked, self.instead = decided, 0, None

    async def FetchDecisions(self, request, **_):
        self.asked += 1
        if self.instead is not None:
            return to_decisions(self.instead)
        with self.decided.bench.store.reading() as tx:
            shown = decisions.answer(
                tx,
                self.decided.bench.keys,
                seen=(request.origin, request.size),
                wanted=to_named(request.wanted),
                least=1,
            )
        return to_decisions(shown)


def profile_of(decided) -> str:
    """The digest of a firmware profile that the fleet decided on when it began."""
    with decided.bench.store.reading() as tx:
        return tx.profiles.revisions()[0].sha256.hex()


def granted(decided, model: str, profile: str) -> bytes:
    members = dict.fromkeys((f.name for f in fields(Grant)), "")
    numbers = dict.fromkeys(("issued_at_ms", "ttl_s", "mask_version"), 1)
    rests = {"model_sha256": model, "profile_sha256": profile}
    grant = Grant(**{**members, **numbers, **rests})
    signer = decided.bench.keys.signing["grant"]
    return grant.seal(signer.der, signer.sign)


@pytest.fixture
def camera(decided, tmp_path):
    (tmp_path / "camera").mkdir()
    logged, stub = logged_grants(tmp_path / "camera", decided.quorum()), Stub(decided)
    known = profile_of(decided)

    def fetch(*digests: str, profile: str = known):
        grants = [granted(decided, d, profile) for d in digests]
        root, now_ms = decided.bench.keys.root.certificate, decided.bench.clock()
        fetched = asyncio.run(logged.only_logged(stub, grants, (), root, now_ms))
        return [grants.index(g) for g in fetched.grants], [f.reason for f in fetched.failures]

    fetch.log = logged._log
    fetch.stub = stub
    return fetch


def test_n205_a_camera_takes_the_grants_of_logged_models_alone(decided, camera):
    decided.approve()
    assert camera(MODEL) == ([], [Reason.NOT_COSIGNED])  # nobody cosigned anything yet
    decided.cosign()
    assert camera("00" * 32, MODEL) == ([1], [Reason.NOT_COSIGNED])
    asked = camera.stub.asked
    assert camera(MODEL) == ([0], [])
    assert camera.stub.asked <= asked + 1


def test_n205_what_was_proved_outlives_a_controller_that_is_away_and_no_stale_head(decided, camera):
    decided.approve()
    decided.cosign()
    assert camera(MODEL) == ([0], [])
    decided.bench.clock.pass_s(7_000)  # it asks again, and gets the same old head
    assert camera(MODEL) == ([0], [])
    decided.bench.clock.pass_s(400)
    assert camera(MODEL) == ([], [Reason.NOT_COSIGNED])
    decided.cosign()
    assert camera(MODEL) == ([0], [])


def test_n205_a_gateway_whose_hosts_profile_nobody_saw_gets_no_frame(decided, camera):
    decided.approve()
    decided.cosign()
    assert camera(MODEL, profile="5c" * 32) == ([], [Reason.NOT_COSIGNED])
    assert camera(MODEL, profile="") == ([], [Reason.NOT_COSIGNED])  # a controller of before
    assert camera(MODEL) == ([0], [])


def test_n205_a_witness_that_is_away_holds_back_what_it_has_not_seen(decided, camera):
    decided.approve()
    decided.cosign()
    assert camera(MODEL) == ([0], [])
    decided.witnesses[1].stop()
    second = decided.approve("cd" * 32, version=2)
    decided.cosign()
    assert camera(second.digest) == ([], [Reason.NOT_COSIGNED])
    assert camera(MODEL) == ([0], []), "what both saw goes on"
    decided.witnesses[1].start()
    decided.cosign()
    assert camera(second.digest) == ([0], [])


def test_n203_a_camera_that_is_shown_a_second_history_keeps_both_heads(decided, camera, tmp_path):
    decided.approve()
    decided.cosign()
    assert camera(MODEL) == ([0], [])
    camera.stub.instead = replace(
        decided.answer(camera.log), note=twin_note(decided, camera.log.seen.size)
    )
    unseen = "cd" * 32
    assert camera(unseen) == ([], [Reason.LOG_FORKED, Reason.NOT_COSIGNED])
    (both,) = fork_files(tmp_path / "camera")
    assert both["seen"] != both["shown"]
    assert camera(MODEL) == ([0], []), "the fork makes untrue nothing that was proved"


def twin_note(decided, size: int) -> bytes:
    """Another head of that size under the fleet's own log key, cosigned by both witnesses' keys."""
    note = decided.forked_head(size)
    text, now_s = parse_note(note).text, decided.bench.clock() // 1000
    for witness in decided.witnesses:
        note += cosign(text, witness.name, witness.server.state._key, now_s).encode()
    return note


def test_who_demands_nothing_has_no_view(tmp_path):
    assert logged_grants(tmp_path, None) is None
