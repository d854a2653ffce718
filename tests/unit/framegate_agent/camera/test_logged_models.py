"""N205: a camera that demands it seals for no model that witnesses did not see approved."""

import asyncio
from dataclasses import fields

import pytest

from framegate.errors import Reason
from framegate.signed.statement import Grant
from framegate_agent.camera.logged_models import logged_models
from framegate_controller.record import decisions
from framegate_controller.rpc.decisions import to_decisions, to_named
from support.decided import MODEL


class Stub:
    """The controller's fleet service, as far as a camera asks it here."""

    def __init__(self, decided) -> None:
        self.decided, self.asked = decided, 0

    async def FetchDecisions(self, request, **_):
        self.asked += 1
        with self.decided.bench.store.reading() as tx:
            shown = decisions.answer(
                tx,
                self.decided.bench.keys,
                seen=(request.origin, request.size),
                wanted=to_named(request.wanted),
                least=1,
            )
        return to_decisions(shown)


def granted(decided, model: str) -> bytes:
    members = dict.fromkeys((f.name for f in fields(Grant)), "")
    numbers = dict.fromkeys(("issued_at_ms", "ttl_s", "mask_version"), 1)
    grant = Grant(**{**members, **numbers, "model_sha256": model})
    signer = decided.bench.keys.signing["grant"]
    return grant.seal(signer.der, signer.sign)


@pytest.fixture
def camera(decided, tmp_path):
    (tmp_path / "camera").mkdir()
    models, stub = logged_models(tmp_path / "camera", decided.quorum()), Stub(decided)

    def fetch(*digests: str):
        grants = [granted(decided, d) for d in digests]
        root, now_ms = decided.bench.keys.root.certificate, decided.bench.clock()
        fetched = asyncio.run(models.only_logged(stub, grants, (), root, now_ms))
        return [grants.index(g) for g in fetched.grants], [f.reason for f in fetched.failures]

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


def test_who_demands_nothing_has_no_view(tmp_path):
    assert logged_models(tmp_path, None) is None
