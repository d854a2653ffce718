"""Joins that are refused."""

from framegate.errors import FramegateError, Reason
from framegate_simulators.forge.forge import Forge


def refused_join(bench, forge: Forge) -> Reason:
    """Join with `forge` and return the first reason; the device must not be trusted and no
    certificate may exist.
    """
    code = bench.invite(ek=forge.ek_sha256)
    try:
        answer = bench.join(forge, code)
    except FramegateError as error:
        reason = error.reason
    else:
        assert answer.certificate is None
        reason = answer.failures[0].reason
    assert bench.state() != "trusted"
    return reason
