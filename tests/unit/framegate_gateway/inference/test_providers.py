"""The execution provider that ran a network stands in receipts, and known answers decide whether
its numbers are near enough.
"""

import base64
import json

import numpy as np
import pytest

from framegate.errors import Reason, Unavailable
from framegate.signed.receipt import b64
from framegate_gateway.inference import service
from framegate_gateway.inference.answers import BadAnswer, verify_start
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE, load_bundle
from framegate_gateway.inference.models import Models
from framegate_gateway.inference.parts import GoldenImages
from framegate_gateway.inference.providers import PROVIDERS, Host
from framegate_gateway.inference.session import new_session, require_provider
from framegate_operator.receipts import _facts
from support.receipts import proved
from support.refusals import refused

BUNDLE = load_bundle(DEFAULT_BUNDLE)


async def run_by(desk, provider: str) -> dict:
    """The receipt of a frame that a gateway inspected by this provider."""
    desk.models = Models(BUNDLE, GoldenImages(()), host=Host(provider))
    desk.store.close()
    desk.open()
    await desk.frame(20)
    (receipt,) = [r for r in await proved(desk) if desk.check(r).verdict["part"] == "p20"]
    return receipt


@pytest.mark.parametrize("provider", sorted(PROVIDERS))
async def test_the_provider_that_was_chosen_stands_in_the_receipt(receipts_desk, provider):
    verified = receipts_desk.check(await run_by(receipts_desk, provider))
    assert verified.claims["fg"]["provider"] == provider
    assert ("provider", provider) in _facts(verified, None)


@pytest.mark.parametrize("said", ["cpu", "", None, "CPUExecutionProvider"])
async def test_another_provider_than_was_signed_is_refused(receipts_desk, said):
    receipt = await run_by(receipts_desk, "openvino")
    leaf = json.loads(base64.b64decode(receipt["leaf"]))
    leaf["fg"]["provider"] = said
    body = json.dumps(leaf, sort_keys=True, separators=(",", ":")).encode()
    receipts_desk.refused(receipt | {"leaf": b64(body)})


class Computes:
    """A session of the runtime whose numbers come out otherwise."""

    def __init__(self, session, otherwise) -> None:
        self._session, self._otherwise = session, otherwise

    def run(self, names, feeds):
        return [self._otherwise(array) for array in self._session.run(names, feeds)]


def started(monkeypatch, otherwise):
    """The service of a child that was told to take OpenVINO, whose numbers are `otherwise`."""
    taken = []

    def session(model, threads, provider):
        taken.append(provider)
        return Computes(new_session(model, threads), otherwise)

    monkeypatch.setattr(service, "new_session", session)
    files = BUNDLE.files.items()
    head = {"files": [[n, len(d)] for n, d in files], "elsewhere": False, "provider": "openvino"}
    loaded = service.load(head, b"".join(data for _, data in files), 1)
    assert taken == ["openvino"]
    return loaded


def test_numbers_that_round_otherwise_are_near_enough(monkeypatch):
    assert started(monkeypatch, lambda a: a * np.float32(1 + 1e-4)).verify() == len(BUNDLE.known)


@pytest.mark.parametrize(
    "otherwise",
    [
        lambda a: a * np.float32(0.9),
        lambda a: a.astype(np.float16).astype(np.float32) + np.float32(0.06) * (a > 0),
        np.zeros_like,
        lambda a: np.roll(a, 1, axis=-1),
        lambda a: a[:, ::-1].copy(),
    ],
    ids=["a-tenth-less", "a-little-more", "nothing", "a-cell-beside", "classes-exchanged"],
)
def test_numbers_that_are_another_models_are_refused_by_known_answers(monkeypatch, otherwise):
    loaded = started(monkeypatch, otherwise)
    assert refused(loaded.verify) == Reason.KNOWN_ANSWER


@pytest.mark.parametrize("said", ["cpu", "", None, "cuda"])
def test_a_child_that_took_another_provider_does_not_start(said):
    ready = {"ready": True, "isolation": "no files", "known_answers": 24, "provider": said}
    with pytest.raises(BadAnswer, match="the provider that it was told to take"):
        verify_start(ready, b"", 24, "openvino")


@pytest.mark.parametrize("there", [(), ("CPUExecutionProvider",), ("openvino",)], ids=str)
def test_a_runtime_that_falls_back_without_a_word_is_refused(there):
    with pytest.raises(Unavailable, match="provider openvino"):
        require_provider("openvino", there)
    with pytest.raises(Unavailable, match="provider tpu"):
        require_provider("tpu", there)
