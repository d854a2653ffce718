"""Further kinds of payloads: named in the settings, or not there."""

import pytest

from framegate.errors import FramegateError, Reason
from framegate.payload.contract import FIRST_OWN, ExaminedPayload
from framegate.payload.kinds import BUILT_IN, further_of
from framegate_gateway.trust.keys import code_digest
from framegate_host.payload_kinds import load_kinds
from support.payload_record.kind import KIND, RecordKind


def test_a_package_that_is_named_brings_its_kind_and_a_gateways_code_is_another():
    kinds = load_kinds(["support.payload_record"])
    assert (
        isinstance(kinds.of(FIRST_OWN), ExaminedPayload) and kinds.ending_of(FIRST_OWN) == "record"
    )
    assert [kind.name for kind in kinds] == ["image", "series", "record"]
    assert BUILT_IN.of(FIRST_OWN) is None and BUILT_IN.ending_of(FIRST_OWN) == "bin"
    assert code_digest(("support.payload_record",)) != code_digest()


def test_only_a_kind_of_somebody_elses_has_to_be_loaded_in_the_child():
    assert further_of(KIND) == ["support.payload_record"]
    assert [further_of(kind) for kind in BUILT_IN] == [[], []] and further_of(None) == []


@pytest.mark.parametrize(
    "package", ["no_such_package", "support.paths", "framegate.payload", "json"]
)
def test_what_is_no_kind_is_refused(package):
    with pytest.raises(FramegateError) as caught:
        load_kinds([package])
    assert caught.value.reason == Reason.PAYLOAD


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"encodings": {3: "mine"}}, id="an-encoding-of-ours"),
        pytest.param({"encodings": {FIRST_OWN: "../up"}}, id="an-ending-that-is-a-path"),
        pytest.param({"encodings": {}}, id="no-encoding"),
        pytest.param({"encodings": {300: "mine"}}, id="more-than-a-byte"),
        pytest.param({"name": "series"}, id="a-name-of-ours"),
        pytest.param({"name": "Image"}, id="no-name"),
    ],
)
def test_a_kind_takes_nothing_that_is_anothers(change):
    from framegate.payload.kinds import Kinds

    with pytest.raises(FramegateError) as caught:
        Kinds([type("Other", (RecordKind,), change)()])
    assert caught.value.reason == Reason.PAYLOAD
