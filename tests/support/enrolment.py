"""Endorsements and refused hellos."""

from datetime import UTC, datetime

import pytest

from framegate.errors import FramegateError
from framegate.identity.endorsement import verify_endorsement

NOW = datetime.now(UTC)


def refused_hello(bench, forge, code):
    with pytest.raises(FramegateError) as caught:
        bench.verifier.begin_join(forge.hello(code), "peer")
    return caught.value.reason


def endorse(forge, maker, chain, roots=None):
    return verify_endorsement(
        forge.ek.public, chain, [maker.certificate] if roots is None else roots, NOW
    )
