"""N48, N64: words that user space extends after boot are accepted where a profile grants them by
name, all of PCR 0 to 7 at once, and explain nothing else.
"""

import hashlib
from dataclasses import replace

import pytest
import tomli_w

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log, replay
from framegate.eventlog.content import EXIT_BOOT_SERVICES
from framegate.eventlog.quirks import (
    EXTENDED,
    MAX_CANDIDATES,
    PHASES,
    SEPARATOR,
    UNLOGGED_EXIT,
    Grants,
    candidates,
)
from framegate.eventlog.user_space import OS_SEPARATOR, Extends
from framegate.evidence import verify
from framegate.evidence.appraise import appraise
from framegate.profile.extends import MAX_STATES
from framegate.profile.learn import Observation, learn
from framegate.profile.model import parse_profile
from framegate.tpm.attest import PcrSelection
from framegate.tpm.constants import Alg
from framegate.tpm.policy import policy_pcr
from framegate.tpm.public import TLS_ATTRS
from framegate_controller.fleet.profiles import add_profile
from framegate_simulators.forge.forge import PCRS, Key
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml
from support.evidence import captured_evidence

LOG = parse_boot_log(boot_log(measurements(Firmware("m"))))
VALUES = dict(replay(LOG, Alg.SHA256))
WITHOUT_EXIT = replace(LOG, events=tuple(e for e in LOG.events if e.data not in EXIT_BOOT_SERVICES))
NVPCR = Extends(EXTENDED, "NvPCRs", (9,), ("nvpcr-init:hardware:0x1d10200", "nvpcr-separator"))
EXTEND = '\n[[extend]]\nname = "NvPCRs"\npcrs = [9]\nwords = ["nvpcr-init:a", "nvpcr-separator"]\n'


def toml(*quirks: str, revision: int = 2, more: str = "") -> str:
    text = profile_toml(Firmware("simulated-camera"), "simulated-camera", revision)
    return text.replace("[profile]", f"quirks = {list(quirks)}\n\n[profile]", 1) + more


def granting(bench, *quirks: str, more: str = "") -> None:
    with bench.store.writing() as tx:
        add_profile(tx, bench.keys, toml(*quirks, more=more).encode())


def extended(value: bytes, *texts: str) -> bytes:
    for text in texts:
        value = hashlib.sha256(value + hashlib.sha256(text.encode()).digest()).digest()
    return value


def machine(bench, pcrs, *texts: str):
    """A machine whose user space extended `texts` into `pcrs` after its kernel had started."""
    forge = bench.forge()
    forge.pcrs = {p: extended(v, *texts) if p in pcrs else v for p, v in forge.pcrs.items()}
    selection = PcrSelection(Alg.SHA256, PCRS)
    forge.tls = Key.make(TLS_ATTRS, policy=policy_pcr(selection, forge.pcrs))
    return forge


def joined(bench, forge):
    return bench.join(forge, bench.invite(ek=forge.ek_sha256))


def test_n48_a_separator_that_is_granted_is_a_warning(bench):
    granting(bench, SEPARATOR)
    answer = joined(bench, machine(bench, OS_SEPARATOR.pcrs, "os-separator"))
    assert answer.state == "trusted", answer.failures


def test_n64_boot_aggregate_is_over_what_the_kernel_saw(bench):
    """The forge's list has it over PCR 0 to 9 as the firmware left them; one over what they are
    now is of no boot of this kernel.
    """
    granting(bench, SEPARATOR)
    forge = machine(bench, OS_SEPARATOR.pcrs, "os-separator")
    forge.ima = type(forge.ima).booted(forge.pcrs, {b"/opt/framegate/x": b"x" * 32})
    reasons = {f.reason for f in joined(bench, forge).failures}
    assert Reason.IMA_BOOT_AGGREGATE in reasons


def test_n48_without_a_grant_the_hint_names_it(bench):
    (failure,) = joined(bench, machine(bench, OS_SEPARATOR.pcrs, "os-separator")).failures
    assert failure.reason == Reason.PCR_DIGEST
    assert SEPARATOR in failure.hint and "systemd 261" in failure.hint
    assert "whole story" not in failure.hint


@pytest.mark.parametrize(
    ("pcrs", "texts"),
    [
        ((4,), ("os-separator",)),
        ((0, 1, 2, 3, 4, 5, 6), ("os-separator",)),
        ((9,), ("os-separator",)),
        (OS_SEPARATOR.pcrs, ("os-separator", "os-separator")),
        (OS_SEPARATOR.pcrs, ("os-separators",)),
        (OS_SEPARATOR.pcrs, ("sysinit",)),
    ],
)
def test_n48_a_separator_elsewhere_or_otherwise_is_refused(bench, pcrs, texts):
    granting(bench, SEPARATOR)
    (failure,) = joined(bench, machine(bench, pcrs, *texts)).failures
    assert failure.reason == Reason.PCR_DIGEST and "whole story" in failure.hint


def test_n48_words_of_a_profiles_own(bench):
    granting(bench, EXTENDED, more=EXTEND)
    answer = joined(bench, machine(bench, (9,), "nvpcr-init:a", "nvpcr-separator"))
    assert answer.state == "trusted", answer.failures


@pytest.mark.parametrize(
    "texts", [("nvpcr-separator",), ("nvpcr-init:b",), ("nvpcr-init:a", "nvpcr-init:a")]
)
def test_n48_other_words_or_another_order_are_refused(bench, texts):
    granting(bench, EXTENDED, more=EXTEND)
    (failure,) = joined(bench, machine(bench, (9,), *texts)).failures
    assert failure.reason == Reason.PCR_DIGEST


def test_every_state_of_user_space_is_tried_once():
    both = Grants({PHASES, SEPARATOR, EXTENDED}, {}, (NVPCR,))
    states = list(candidates(LOG, VALUES, Alg.SHA256, both))
    assert len(states) == 7 * (3 * 2 + 1 + 2), "with the separator also before the other words"
    nines = {c.values[9] for c in states}
    start, words = VALUES[9], NVPCR.words
    between = (words[0], "os-separator", words[1])
    for order in (("os-separator", *words), (*words, "os-separator"), between, words[:1], words):
        assert extended(start, *order) in nines
    for never in (words[::-1], ("os-separator", *words, "os-separator"), (*between, words[1])):
        assert extended(start, *never) not in nines
    for state in states:
        seen = {p for p in range(8) if state.values[p] != VALUES[p]}
        assert seen in (set(), set(range(8))), "all of them or none"
        assert {p: state.at_kernel[p] for p in VALUES} == VALUES
    assert {c.extends for c in states} == {(), (NVPCR,)}


def test_n48_the_separator_may_stand_between_words_of_a_profiles_own(bench):
    """NvPCRs are set up in the initrd, which the separator closes; their own separator may be
    extended by the system.
    """
    granting(bench, EXTENDED, SEPARATOR, more=EXTEND)
    forge = machine(bench, OS_SEPARATOR.pcrs, "os-separator")
    nine = extended(dict(bench.forge().pcrs)[9], "nvpcr-init:a", "os-separator", "nvpcr-separator")
    forge.pcrs[9] = nine
    forge.tls = Key.make(TLS_ATTRS, policy=policy_pcr(PcrSelection(Alg.SHA256, PCRS), forge.pcrs))
    answer = joined(bench, forge)
    assert answer.state == "trusted", answer.failures


def test_as_many_words_as_a_profile_may_list_are_all_tried():
    extend = Extends(EXTENDED, "words", (9,), tuple(map(str, range(MAX_STATES - 1))))
    both = Grants({PHASES, SEPARATOR, EXTENDED, UNLOGGED_EXIT}, {}, (extend,))
    states = list(candidates(WITHOUT_EXIT, VALUES, Alg.SHA256, both))
    assert len(states) == 2 * 7 * (2 * MAX_STATES + sum(range(MAX_STATES))) < MAX_CANDIDATES


def test_words_that_only_another_profile_lists_do_not_count(bench):
    """Two profiles in force for one machine: what one grants is no excuse under the other."""
    with pytest.MonkeyPatch.context() as patch:
        evidence = captured_evidence(bench, patch)
    borrowed = replace(evidence, quirks=(EXTENDED,), extends=(NVPCR,), witness=verify._WITNESS)
    profile = parse_profile(toml(EXTENDED, more=EXTEND).encode())
    failures = appraise(borrowed, profile, None).failures
    assert Reason.QUIRK in {f.reason for f in failures}


@pytest.mark.parametrize(
    "change",
    [
        ("pcrs = [9]", "pcrs = [4]"),
        ("pcrs = [9]", "pcrs = [0, 1, 2, 3, 4, 5, 6, 9]"),
        ("pcrs = [9]", "pcrs = [10]"),
        ("pcrs = [9]", "pcrs = [16]"),
        ("pcrs = [9]", "pcrs = [9, 9]"),
        ("pcrs = [9]", "pcrs = []"),
        ("pcrs = [9]", 'pcrs = ["9"]'),
        ("pcrs = [9]", "pcrs = 9"),
        ('words = ["nvpcr-init:a", "nvpcr-separator"]', "words = []"),
        ('words = ["nvpcr-init:a", "nvpcr-separator"]', 'words = [""]'),
        ('words = ["nvpcr-init:a", "nvpcr-separator"]', r'words = ["a\u0007"]'),
        ('words = ["nvpcr-init:a", "nvpcr-separator"]', f'words = ["{"x" * 257}"]'),
        ('words = ["nvpcr-init:a", "nvpcr-separator"]', f"words = {['x'] * 40}"),
        ('name = "NvPCRs"\n', ""),
        ('name = "NvPCRs"', "name = 5"),
    ],
)
def test_behaviours_that_a_profile_may_not_have(change):
    parse_profile(toml(EXTENDED, more=EXTEND).encode())
    with pytest.raises(Malformed) as caught:
        parse_profile(toml(EXTENDED, more=EXTEND.replace(*change)).encode())
    assert caught.value.reason == Reason.PROFILE_INVALID


def test_behaviours_and_their_quirk_belong_together():
    for text in (toml(EXTENDED), toml(PHASES, more=EXTEND).replace("systemd-phases", SEPARATOR)):
        with pytest.raises(Malformed):
            parse_profile(text.encode())
    with pytest.raises(Malformed):
        parse_profile(toml(EXTENDED, more=EXTEND * 5).encode())


def test_n47_no_quirk_of_user_space_stands_for_what_the_firmware_must_measure():
    granted = Grants({PHASES, SEPARATOR, EXTENDED}, {}, (NVPCR,))
    assert granted.elsewhere == {9, 11, 12, 13, 14}
    assert Grants({"pcr-by-value"}, {0: frozenset({bytes(32)})}).elsewhere == {0}


def test_n47_a_log_without_a_boot_pcr_is_refused_whatever_is_granted(bench):
    granting(bench, SEPARATOR)
    forge = bench.forge()
    forge.boot(boot_log([m for m in measurements(forge.firmware) if m.pcr != 6]))
    forge.pcrs = OS_SEPARATOR.after({**forge.pcrs, 6: bytes(32)}, 1, Alg.SHA256)
    reasons = {f.reason for f in joined(bench, forge).failures}
    assert reasons == {Reason.BANK_UNUSED}


def test_learning_leaves_what_needs_a_table_to_its_writer():
    machine = Observation(LOG, quirks=(EXTENDED, SEPARATOR, "pcr-by-value"))
    body, _ = learn([machine], name="m", version="1", revision=1, description="", bank=Alg.SHA256)
    assert body["quirks"] == [SEPARATOR] and parse_profile(tomli_w.dumps(body).encode())
