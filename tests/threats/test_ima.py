"""N60 to N65, N125: measurement lists."""

import hashlib
import struct
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa, utils
from cryptography.x509 import SubjectKeyIdentifier

from framegate.errors import EvidenceRejected, Malformed, Reason
from framegate.ima import boot_aggregates, find_prefix, parse_ima, running_values
from framegate.ima.allowlist import ANYWHERE, HEADER, AllowedFile, allowlist_text, parse_allowlist
from framegate.ima.entry import ImaEntry
from framegate.ima.judge import ImaRules, honest, ima_failures, key_id, signature_holds
from framegate.ima.replay import MAX_AHEAD
from framegate.tpm.attest import ClockInfo
from framegate.tpm.constants import Alg
from framegate.wire import Challenge
from framegate_controller.fleet.profiles import add_profile
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import ImaMachine, allowlist_of, files_of
from support.hostile_lists import entry as list_entry
from support.hostile_lists import names
from support.ima import digest_of, reasons

CAMERA = Firmware("simulated-camera")


NEW = b"/usr/bin/newly-installed"


GOOD = next(iter(files_of("simulated-camera", "12.9").items()))


def test_n60_a_template_hash_that_is_not_its_datas():
    machine = ImaMachine()
    machine.measure(*GOOD)
    good = machine.list_from()
    for at in range(4, len(good)):
        spoiled = bytearray(good)
        spoiled[at] ^= 1
        with pytest.raises(Malformed):
            parse_ima(bytes(spoiled))


def test_n60_the_hash_is_recomputed_in_the_quoted_bank():
    machine = ImaMachine()
    machine.measure(*GOOD)
    machine.measure(b"/x", digest_of(b"y"), violation=True)
    measured = parse_ima(machine.list_from())
    assert measured.width == Alg.SHA1
    for bank in (Alg.SHA1, Alg.SHA256):
        assert (
            running_values(measured, bank, bytes(20 if bank == Alg.SHA1 else 32))[-1]
            == machine.values[bank]
        )


def test_n61_violations_are_counted_over_the_whole_boot(bench):
    forge = bench.enrol()
    forge.ima.measure(*GOOD, violation=True)
    answer = bench.attest(forge, known_log=True)
    assert answer.state == "suspect" and reasons(answer) == [Reason.IMA_VIOLATION]


def test_n61_a_violation_dressed_as_an_allowed_file_is_counted(bench):
    """A violation extends all ones whatever its entry shows: an attacker may write any name and
    digest into it.
    """
    forge = bench.enrol()
    forge.ima.measure(NEW, digest_of(b"implant"), violation=True)
    dressed = ImaMachine()
    dressed.measure(*GOOD)
    good = dressed.entries[0]
    forge.ima.entries[-1] = good[:4] + bytes(20) + good[24:]
    answer = bench.attest(forge, known_log=True)
    assert answer.state == "suspect" and reasons(answer) == [Reason.IMA_VIOLATION]


def test_n61_violations_in_earlier_parts_count_too(bench):
    lenient = profile_toml(CAMERA, "simulated-camera", 2).replace(
        "max_violations = 0", "max_violations = 2"
    )
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, lenient.encode())
    forge = bench.enrol()
    for expected in ("trusted", "trusted", "suspect"):
        forge.ima.measure(*GOOD, violation=True)
        answer = bench.attest(forge, known_log=True)
        assert answer.state == expected
    assert reasons(answer) == [Reason.IMA_VIOLATION]


def test_n62_entries_after_the_quote_do_not_count(bench):
    """The list is read after the quote: one entry too many is no lie, and no verdict on that
    entry either.
    """
    forge = bench.enrol()
    forge.ima.measure(*GOOD)
    ahead = ImaMachine()
    ahead.measure(NEW, digest_of(b"implant"))
    forge.with_evidence(ima_log=lambda raw: raw + ahead.list_from())
    assert bench.attest(forge, known_log=True).state == "trusted"
    forge.with_evidence()
    forge.ima.measure(NEW, digest_of(b"implant"))
    assert reasons(bench.attest(forge, known_log=True)) == [Reason.IMA_FILE], (
        "next time it is asked for"
    )


def test_n62_a_list_too_far_ahead_is_refused():
    values = [bytes([n % 251]) * 32 for n in range(MAX_AHEAD + 3)]
    with pytest.raises(EvidenceRejected) as caught:
        find_prefix(values, lambda v: v is values[0])
    assert caught.value.reason == Reason.IMA_REPLAY
    assert find_prefix(values, lambda v: v is values[3]) == 3


def test_n62_a_list_behind_the_quote_is_asked_for_whole_and_then_refused(bench):
    forge = bench.enrol()
    forge.ima.measure(*GOOD)
    forge.with_evidence(ima_log=b"")
    answer = bench.attest(forge, known_log=True)
    assert answer.retry_with_boot_log and bench.state() == "trusted"
    answer = bench.attest(forge)
    assert reasons(answer) == [Reason.IMA_MISSING] and bench.state() == "suspect"


def test_n63_the_offset_is_the_controllers_and_falls_back_after_a_reset(bench):
    forge = bench.enrol()
    forge.clock = ClockInfo(10, 2, 0, True)
    forge.boot()
    hello = forge.attest_hello(known_log=True)
    assert (
        Challenge.parse(
            bench.verifier.begin_attest(hello, "camera.line-1.cam1").challenge
        ).ima_offset
        == 0
    )


def test_n63_a_reset_nobody_announced(bench):
    """Hello claims the old counters; the quote shows a reset: what was verified of another boot
    is worth nothing.
    """
    forge = bench.enrol()
    hello = forge.attest_hello(known_log=True)
    begun = bench.verifier.begin_attest(hello, "camera.line-1.cam1")
    forge.clock = ClockInfo(10, 2, 0, True)
    _, evidence = forge.answer(bench.fleet.digest, hello, begun.challenge, join=False)
    answer = bench.verifier.complete_attest(begun.state, evidence, "camera.line-1.cam1")
    assert answer.retry_with_boot_log and bench.state() == "trusted"


def test_n63_a_part_that_goes_back_in_the_list(bench):
    forge = bench.enrol()
    forge.ima.measure(*GOOD)
    forge.with_evidence(ima_log=forge.ima.list_from(3))
    assert bench.attest(forge, known_log=True).retry_with_boot_log


def test_n64_boot_aggregate_of_another_boot(bench):
    forge = bench.forge()
    forge.ima = ImaMachine.booted({0: digest_of(b"other")}, files_of(CAMERA.model, CAMERA.release))
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert answer.state == "suspect" and reasons(answer) == [Reason.IMA_BOOT_AGGREGATE]


def test_n64_a_list_without_its_front(bench):
    forge = bench.forge()
    forge.ima = ImaMachine()
    for path, digest in files_of(CAMERA.model, CAMERA.release).items():
        forge.ima.measure(path, digest)
    answer = bench.join(forge, bench.invite(ek=forge.ek_sha256))
    assert reasons(answer) == [Reason.IMA_BOOT_AGGREGATE]


def test_n64_aggregate_over_eight_or_ten_pcrs():
    pcrs = {p: bytes([p]) * 32 for p in range(10)}
    eight, ten = (digest_of(b"".join(pcrs[p] for p in range(n))) for n in (8, 10))
    assert boot_aggregates(pcrs, "sha256") == {eight, ten}
    assert boot_aggregates({p: pcrs[p] for p in range(8)}, "sha256") == {eight}
    assert boot_aggregates({}, "sha256") == frozenset()


@pytest.mark.parametrize("template", [b"ima-ng", b"ima-sig"])
def test_n64_no_allowlist_decides_what_boot_aggregate_is(template):
    """A list with another boot's aggregate in it let that boot pass for this one."""
    pcrs = {p: bytes([p]) * 32 for p in range(10)}
    of_another_boot = digest_of(b"boot_aggregate")  # `entry` measures names for contents
    allowed = [AllowedFile("sha256", of_another_boot, b"boot_aggregate")]
    allowed += [AllowedFile("sha256", digest_of(n), n) for n in names(3)]
    entries = parse_ima(
        b"".join(list_entry(n, template=template) for n in (b"boot_aggregate", *names(3)))
    ).entries
    given = [parse_allowlist(allowlist_text(allowed))]
    for first in (True, False):
        (failure,) = ima_failures(
            entries, rules(), given, Alg.SHA256, pcrs, first=first, violations=0
        )
        assert failure.reason == Reason.IMA_BOOT_AGGREGATE
        assert of_another_boot.hex() in failure.actual


@pytest.mark.parametrize(
    "path",
    [
        b"/tmp/../usr/bin/x",
        b"/tmp//x",
        b"/tmp/a\nb",
        b"/tmp/\xff",
        b"tmp/x",
        b"/tmp/./x",
        b"/tmp/\x1b[2Jx",
        b"",
    ],
)
def test_n65_dishonest_paths(path):
    assert not honest(path)


def rules(**changes) -> ImaRules:
    return replace(ImaRules((), 0, (b"/tmp/",), (b"/lib/",), {}, (), False), **changes)


def entry(
    path: bytes, digest: bytes = digest_of(b"x"), algorithm: str = "sha256", signature: bytes = b""
) -> ImaEntry:
    return ImaEntry(10, b"h", "ima-sig", b"d", algorithm, digest, path, signature, b"", False)


def judged(
    *entries: ImaEntry, ima_rules: ImaRules | None = None, allow: bytes = b""
) -> list[Reason]:
    lists = [parse_allowlist(allow)] if allow else []
    return [
        f.reason
        for f in ima_failures(
            entries, ima_rules or rules(), lists, Alg.SHA256, {}, first=False, violations=0
        )
    ]


def test_n65_excluded_folders_are_not_a_way_out():
    assert judged(entry(b"/tmp/x")) == []
    for path in (b"/tmp/../usr/bin/x", b"/tmp/a\nb", b"/tmp/\xff"):
        assert judged(entry(path)) == [Reason.IMA_PATH]
    assert judged(entry(b"/tmpx/y")) == [Reason.IMA_FILE]


def test_n65_hash_downgrade():
    weak = hashlib.sha1(b"x", usedforsecurity=False).digest()
    assert judged(entry(b"/bin/x", weak, "sha1")) == [Reason.IMA_FILE]
    with pytest.raises(Malformed):
        parse_allowlist(f"{HEADER}\nsha1:{weak.hex()}  /bin/x\n".encode())


def test_n65_a_digest_counts_only_under_its_name():
    allow = allowlist_text(
        [
            AllowedFile("sha256", digest_of(b"x"), b"/bin/x"),
            AllowedFile("sha256", digest_of(b"z"), ANYWHERE),
        ]
    )
    assert judged(entry(b"/bin/x"), allow=allow) == []
    assert judged(entry(b"/bin/other"), allow=allow) == [Reason.IMA_FILE]
    assert judged(entry(b"/anywhere", digest_of(b"z")), allow=allow) == []


def signed(key, digest: bytes) -> bytes:
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        value = key.sign(digest, padding.PKCS1v15(), utils.Prehashed(hashes.SHA256()))
    else:
        value = key.sign(digest, ec.ECDSA(utils.Prehashed(hashes.SHA256())))
    return (
        b"\x03\x02\x04"
        + SubjectKeyIdentifier.from_public_key(public).digest[-4:]
        + struct.pack(">H", len(value))
        + value
    )


@pytest.fixture(scope="module", params=["ec", "rsa"])
def signer(request):
    return (
        ec.generate_private_key(ec.SECP256R1())
        if request.param == "ec"
        else rsa.generate_private_key(65537, 2048)
    )


def test_n65_signatures_by_listed_keys_only(signer):
    pem = signer.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    ima_rules = rules(keys=dict([key_id(pem)]))
    digest = digest_of(b"module")
    good = signed(signer, digest)
    assert judged(entry(b"/lib/m.ko", digest, signature=good), ima_rules=ima_rules) == []
    other = ec.generate_private_key(ec.SECP256R1())
    for bad in (
        signed(other, digest),
        signed(signer, digest_of(b"x")),
        good[:-1],
        good + b"\0",
        b"\x03\x01" + good[2:],
        b"\x03\x02\x02" + good[3:],
        b"",
        b"\x03\x02",
    ):
        assert not signature_holds(entry(b"/lib/m.ko", digest, signature=bad), ima_rules.keys)
    assert judged(
        entry(b"/lib/m.ko", digest, signature=signed(other, digest)), ima_rules=ima_rules
    ) == [Reason.IMA_SIGNATURE]
    assert judged(entry(b"/usr/bin/m", digest, signature=good), ima_rules=ima_rules) == [
        Reason.IMA_FILE
    ], "signatures count where the profile says, no further"
    assert judged(entry(b"/lib/../usr/x", digest, signature=good), ima_rules=ima_rules) == [
        Reason.IMA_SIGNATURE
    ]
    for at in range(len(good)):
        spoiled = bytearray(good)
        spoiled[at] ^= 1
        assert not signature_holds(
            entry(b"/lib/m.ko", digest, signature=bytes(spoiled)), ima_rules.keys
        )


def test_n125_a_changed_allowlist_judges_the_whole_list_again(bench):
    """Files that an old allowlist let pass are judged anew: the prefix verified under it is not
    gone on from.
    """
    forge = bench.enrol()
    assert bench.attest(forge, known_log=True).state == "trusted"
    fewer = allowlist_text(
        AllowedFile("sha256", d, p)
        for p, d in list(files_of(CAMERA.model, CAMERA.release).items())[1:]
    )
    toml = profile_toml(CAMERA, "simulated-camera", 2).replace(
        digest_of(allowlist_of(CAMERA.model, CAMERA.release)).hex(), digest_of(fewer).hex()
    )
    with bench.store.writing() as tx:
        tx.evidence.add_allowlist(fewer, bench.clock())
        add_profile(tx, bench.keys, toml.encode())
    hello = forge.attest_hello(known_log=True)
    assert (
        Challenge.parse(
            bench.verifier.begin_attest(hello, "camera.line-1.cam1").challenge
        ).ima_offset
        == 0
    )
    answer = bench.attest(forge, known_log=True)
    assert answer.state == "suspect" and reasons(answer) == [Reason.IMA_FILE]
