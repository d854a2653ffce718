"""How the sentences of `framegate camera why` end."""

from framegate_operator.machine_details import _frames
from framegate_operator.traffic import NO_SOURCE, Traffic
from framegate_proto.v1 import framegate_pb2 as pb


def test_what_is_asked_ends_as_a_question_and_what_is_told_as_a_sentence(monkeypatch):
    camera = pb.DeviceSummary(device="camera.line-1.cam1", state="trusted", kind="camera")
    monkeypatch.setattr(Traffic, "of", lambda self, device: None)
    told = {}
    for silence in (NO_SOURCE, "no frame for 9 s"):
        monkeypatch.setattr(Traffic, "silence", lambda self, device, why=silence: why)
        told[silence] = _frames(camera, Traffic.__new__(Traffic))
    assert told[NO_SOURCE] == ("Trusted, but no stream yet: does its agent run, with --source?")
    assert told["no frame for 9 s"] == "Trusted, but no frame for 9 s."
