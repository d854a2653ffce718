"""What settings may demand of witnesses."""

import pytest

from framegate.errors import Malformed
from framegate_gateway.settings import GatewaySettings
from framegate_host.cosigning import cosigning_problems, quorum_of

ONE = "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2"
TWO = "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv"
LOG = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"


def test_nothing_is_demanded_by_default():
    assert quorum_of(0, (), 24) is None


def test_so_many_of_these_within_hours():
    quorum = quorum_of(1, (ONE, TWO), 2)
    assert quorum is not None
    assert (quorum.least, len(quorum.witnesses), quorum.within_s) == (1, 2, 7200)


@pytest.mark.parametrize(
    ("require", "cosigners", "told"),
    [
        (0, (), ""),
        (1, (ONE,), ""),
        (2, (ONE, TWO), ""),
        (1, (), "cosigner"),
        (0, (ONE,), "require"),
        (2, (ONE,), "1 to 32 witnesses"),
        (1, (ONE, ONE), "each key once"),
        (1, (LOG,), "keys of cosigners"),
        (1, (ONE.replace("da77ade7", "00000000"),), "the id of this name and key"),
    ],
    ids=["none", "one", "two", "no-key", "no-number", "too-few", "twice", "a-log", "edited"],
)
def test_what_cannot_be_meant_is_told_at_the_start(tmp_path, require, cosigners, told):
    settings = GatewaySettings(agent_socket=tmp_path / "s")
    problems = [str(p) for p in cosigning_problems(settings, require, cosigners)]
    assert len(problems) == bool(told)
    assert all(told in p for p in problems), problems


def test_a_quorum_of_a_logs_key_is_none():
    with pytest.raises(Malformed):
        quorum_of(1, (LOG,), 2)
