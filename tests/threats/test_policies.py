"""N90: policies and profiles that are missing, unsigned, rolled back or changed in the store."""

import json
import time

import pytest

from framegate.access.policy import MAX_POLICY_BYTES, SCHEMA, default_files, parse_policy
from framegate.access.policy_statement import PolicyStatement
from framegate.errors import FramegateError, Reason, Refused
from framegate_controller.ca.open import found_fleet
from framegate_controller.fleet.profiles import add_profile, load_profile
from framegate_controller.people.policies import load_policy
from framegate_controller.store.shared.policies import InMemoryPolicies
from framegate_gateway.trust.access import AccessView
from framegate_simulators.fixtures.access import access_update, facts_text, signed_policy
from framegate_simulators.machine.boot import Firmware, profile_toml
from support.access import policy_files
from support.refusals import refused

CAM = "camera.line-1.cam1"


ERASE = '@id("more") forbid (principal, action == Action::"data.erase", resource);'


@pytest.mark.parametrize(
    "texts",
    [
        {},
        {"a.cedar": ERASE},
        {SCHEMA: default_files()[SCHEMA]},
        policy_files() | {"../x.cedar": ERASE},
        policy_files() | {"x.txt": ERASE},
        policy_files() | {"X.cedar": ERASE},
        policy_files(more="permit (principal"),
        policy_files(more="permit (principal, action, resource);"),
        policy_files(more='@id("operators") permit (principal, action, resource);'),
        policy_files(more='@id("") permit (principal, action, resource);'),
        policy_files(more='@id("x") permit (principal, action == Action::"no.such", resource);'),
        policy_files(
            more='@id("x") permit (principal, action, resource) when { principal.shoeSize > 3 };'
        ),
        policy_files(
            more=(
                '@id("x") permit (principal is Device, action == Action::"inspect", resource) when'
                " { principal.posture.secureBoot };"
            )
        ),
        policy_files() | {SCHEMA: "entity Role;"},
        policy_files() | {SCHEMA: "nonsense"},
        policy_files() | {SCHEMA: default_files()[SCHEMA].replace('"policy.apply"', '"policy.ap"')},
        policy_files(more=ERASE + "//" + "x" * MAX_POLICY_BYTES),
        policy_files(**{f"f{n}": f'@id("f{n}") {ERASE[12:]}' for n in range(40)}),
    ],
    ids=[
        "nothing",
        "no schema",
        "no policies",
        "a path",
        "another ending",
        "capitals",
        "broken",
        "without id",
        "id twice",
        "empty id",
        "unknown action",
        "unknown attribute",
        "optional attribute unguarded",
        "schema without verbs",
        "broken schema",
        "the verb that would mend it missing",
        "too large",
        "too many files",
    ],
)
def test_n90_what_is_no_policy_is_refused_and_says_where(texts):
    assert refused(lambda: parse_policy(texts)) in {Reason.POLICY_INVALID, Reason.TOO_LARGE}


@pytest.mark.parametrize("how", ["text", "version", "signature", "gone", "another key"])
def test_n90_a_policy_changed_in_the_store_allows_nothing(bench, how, tmp_path):
    from framegate_controller.ca.open import found_fleet

    cache = InMemoryPolicies()
    with bench.store.reading() as tx:
        assert (
            load_policy(tx, bench.keys, cache).version == 1
        )  # what was verified before is no excuse
        envelope = tx.policies.current().envelope
    if how == "gone":
        bench.sql("DELETE FROM access_policies")
    elif how == "version":
        bench.sql("UPDATE access_policies SET version = 5")
    else:
        if how == "text":
            body = json.loads(envelope)
            import base64

            payload = base64.b64decode(body["payload"]).replace(b"viewers", b"viewerz")
            envelope = json.dumps(
                {**body, "payload": base64.b64encode(payload).decode()}, separators=(",", ":")
            ).encode()
        elif how == "signature":
            envelope = envelope[:-40] + bytes([envelope[-40] ^ 1]) + envelope[-39:]
        else:
            envelope = signed_policy(found_fleet(tmp_path / "other", "plant"))
        bench.sql("UPDATE access_policies SET envelope = ?", envelope)
    with bench.store.reading() as tx, pytest.raises(FramegateError):
        load_policy(tx, bench.keys, cache)


def test_n90_nothing_is_allowed_before_a_policy_came(access_view):
    assert (
        refused(lambda: access_view.inspect(CAM, facts_text(CAM), "ab", "line-1"))
        == Reason.POLICY_INVALID
    )


@pytest.mark.parametrize(
    "how",
    [
        "none",
        "junk",
        "rolled back",
        "same version, other text",
        "other fleet",
        "signed by another of our keys",
    ],
)
def test_n90_gateways_refuse_policies_that_are_missing_unsigned_or_rolled_back(
    access_view, keys, tmp_path, how
):
    from framegate_controller.ca.open import found_fleet

    access_view.apply(access_update(keys, policy=signed_policy(keys, policy_files(), 3)))
    update = access_update(keys, policy=signed_policy(keys, policy_files(more=ERASE), 4))
    if how == "none":
        update.policy = b""
    elif how == "junk":
        update.policy = b"{}"
    elif how == "rolled back":
        update.policy = signed_policy(keys, policy_files(more=ERASE), 2)
    elif how == "same version, other text":
        update.policy = signed_policy(keys, policy_files(more=ERASE), 3)
    elif how == "other fleet":
        update.policy = signed_policy(
            found_fleet(tmp_path / "other", "plant"), policy_files(more=ERASE), 4
        )
    else:
        signer = keys.signing["grant"]
        update.policy = PolicyStatement(
            version=4,
            files=({"name": "a", "text": "b"},),
            applied_by="x",
            applied_at_ms=time.time_ns() // 1_000_000,
        ).seal(signer.der, signer.sign)
    with pytest.raises(FramegateError):
        access_view.apply(update)
    assert access_view.policy.version == 3


def test_n90_the_highest_version_is_remembered_over_a_restart(access_view, keys, tmp_path):
    access_view.apply(access_update(keys, policy=signed_policy(keys, policy_files(), 7)))
    again = AccessView(tmp_path, lambda: keys.root.certificate)
    assert (
        refused(
            lambda: again.apply(access_update(keys, policy=signed_policy(keys, policy_files(), 6)))
        )
        == Reason.POLICY_INVALID
    )
    assert (
        refused(
            lambda: again.apply(
                access_update(keys, policy=signed_policy(keys, policy_files(more=ERASE), 7))
            )
        )
        == Reason.POLICY_INVALID
    )
    again.apply(access_update(keys, policy=signed_policy(keys, policy_files(), 7)))


PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")


def test_n90_profiles_unsigned_rolled_back_or_signed_by_another_key(bench, tmp_path):
    other = found_fleet(tmp_path / "other", "other")
    fleet = bench.keys
    with pytest.raises(Refused) as caught, bench.store.writing() as tx:
        add_profile(tx, fleet, PROFILE.encode())
    assert caught.value.reason == Reason.CONFLICT
    ((good,),) = bench.sql("SELECT envelope FROM profiles WHERE name = 'simulated-camera'")
    for envelope, reason in (
        (b"", Reason.MALFORMED),
        (PROFILE.encode(), Reason.MALFORMED),
        (good.replace(b'"sig":"M', b'"sig":"N'), Reason.SIGNATURE),
        (_sealed(other, "profile"), Reason.CERTIFICATE),
        (_sealed(fleet, "grant"), Reason.CERTIFICATE),
    ):
        bench.sql("UPDATE profiles SET envelope = ? WHERE name = 'simulated-camera'", envelope)
        with pytest.raises(FramegateError) as caught, bench.store.reading() as tx:
            load_profile(tx, fleet, "simulated-camera")
        assert caught.value.reason == reason


def _sealed(fleet, label: str) -> bytes:
    from framegate.profile.model import PROFILE_TYPE
    from framegate.signed.dsse import seal_envelope

    key = fleet.signing[label]
    return seal_envelope(PROFILE_TYPE, PROFILE.encode(), key.der, key.sign)
