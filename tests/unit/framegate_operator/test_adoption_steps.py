"""A machine is adopted once: the same command again says what is so, not what was found before."""

from types import SimpleNamespace

import pytest

from framegate.errors import Reason, Refused
from framegate_operator.adoption_steps import learn_profile, require_strange
from framegate_proto.v1 import framegate_pb2 as pb
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml

FOUND = pb.Failure(reason="event-unclaimed", expected="in PCR 0: of the profile before")
MODELS = {name: Firmware(name) for name in ("simulated-camera", "own-camera")}


def detail(state: str, profile: str) -> pb.DeviceDetail:
    summary = pb.DeviceSummary(
        device="camera.line-1.cam7", kind="camera", name="cam7", state=state, profile=profile
    )
    return pb.DeviceDetail(summary=summary, failures=[FOUND])


class Fleet:
    """A controller of two profiles, and a machine of `own-camera`."""

    def Observe(self, _request):
        log = boot_log(measurements(MODELS["own-camera"]))
        return pb.Observation(device="camera.line-1.cam7", state="suspect", boot_log=log)

    def ShowProfile(self, request):
        return SimpleNamespace(toml=profile_toml(MODELS[request.name], request.name, 1).encode())


@pytest.mark.parametrize(
    ("state", "profile"),
    [("suspect", "simulated-camera"), ("suspect", "own-camera"), ("stale", "simulated-camera")],
)
def test_who_may_be_adopted(state, profile):
    require_strange(detail(state, profile), "own-camera")


@pytest.mark.parametrize(
    ("state", "profile", "said"),
    [
        ("stale", "own-camera", "cam7 has to satisfy own-camera, and is yet to prove"),
        ("trusted", "own-camera", "cam7 is trusted"),
        ("invited", "simulated-camera", "invited"),
    ],
)
def test_who_is_adopted_or_cannot_be_is_told(state, profile, said):
    with pytest.raises(Refused) as caught:
        require_strange(detail(state, profile), "own-camera")
    assert said in str(caught.value)
    assert caught.value.failures[0].reason in {Reason.CONFLICT, Reason.NOT_FOUND}


@pytest.mark.parametrize(
    ("profile", "said", "found"),
    [
        ("own-camera", "it has to satisfy own-camera already", False),
        ("simulated-camera", "nothing of its firmware matches simulated-camera", False),
    ],
)
def test_findings_by_a_profile_before_are_not_shown(profile, said, found, tmp_path, capsys):
    file = tmp_path / "own-camera.toml"
    file.write_text(profile_toml(MODELS["own-camera"], "own-camera", 1))
    learn_profile(Fleet(), detail("suspect", profile), "own-camera", file)
    told = " ".join(capsys.readouterr().err.split())
    assert said in told and ("of the profile before" in told) is found
    assert "something on it differs" not in told


def test_what_differs_of_a_known_model_is_shown(tmp_path, capsys):
    file = tmp_path / "other.toml"
    file.write_text(profile_toml(MODELS["own-camera"], "other", 1))
    learn_profile(Fleet(), detail("suspect", "own-camera"), "other", file)
    told = " ".join(capsys.readouterr().err.split())
    assert "something on it differs" in told and "of the profile before" in told
