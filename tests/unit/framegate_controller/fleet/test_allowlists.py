"""Allowlists in the store."""

from framegate.errors import Reason
from framegate.ima.allowlist import ANYWHERE, AllowedFile, allowlist_text
from framegate.profile.model import parse_profile
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.ima import digest_of, reasons

CAMERA = Firmware("simulated-camera")


def test_one_allowlist_is_one_object_for_a_whole_fleet(bench):
    for n in range(3):
        bench.enrol(f"cam{n}")
    content = allowlist_of(CAMERA.model, CAMERA.release)
    digest, profile = (
        digest_of(content),
        parse_profile(profile_toml(CAMERA, "simulated-camera").encode()),
    )
    with bench.store.writing() as tx:
        tx.evidence.add_allowlist(content, 1)
        assert (
            bench.verifier.rules.allowlists(tx, [profile])[digest]
            is bench.verifier.rules.allowlists(tx, [profile])[digest]
        )
    assert bench.sql("SELECT count(*) FROM allowlists WHERE sha256 = ?", digest) == [(1,)]


def test_an_allowlist_that_somebody_edited_in_the_store_is_refused(bench):
    import zlib

    digest = digest_of(allowlist_of(CAMERA.model, CAMERA.release))
    implanted = zlib.compress(
        allowlist_text([AllowedFile("sha256", digest_of(b"implant"), ANYWHERE)])
    )
    bench.sql("UPDATE allowlists SET content = ? WHERE sha256 = ?", implanted, digest)
    forge = bench.forge()
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert (
        answer.certificate is None
        and reasons(answer) == [Reason.ALLOWLIST]
        and answer.state == "invited"
    ), "no fault of the machine's"
