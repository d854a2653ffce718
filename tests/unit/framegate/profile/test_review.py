"""What lint and diff say of a profile."""

import json
from collections.abc import Callable
from dataclasses import replace

import pytest
import tomli_w
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log
from framegate.eventlog.event_type import EventType
from framegate.profile.learn import Observation, learn
from framegate.profile.model import FirmwareProfile, parse_profile
from framegate.profile.review import diff, explain, lint
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import (
    Firmware,
    Measurement,
    boot_log,
    measurements,
    profile_toml,
)

PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")
DBX = next(line for line in PROFILE.splitlines() if line.startswith("dbx_minimum"))
SBAT = next(line for line in PROFILE.splitlines() if line.startswith("sbat_minimum"))
ALLOWLISTS = next(line for line in PROFILE.splitlines() if line.startswith("allowlists"))
NO_TMP = 'max_violations = 0\nexclude = ["/tmp/"]'
ANY_TPM, ONE_TPM = 'firmware = "any"', 'firmware = ["00000000000000aa"]'
OTHER_LIST = f'allowlists = ["sha256:{"ab" * 32}"]'


def profile(*changes: tuple[str, str], more: str = "") -> FirmwareProfile:
    """The simulated camera's profile with texts replaced and tables added."""
    text = PROFILE
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return parse_profile((text + more).encode())


def event(
    name: str, pcr: int, digests: str = '["' + "ab" * 32 + '"]', required: str = "true"
) -> str:
    return (
        f'\n[[event]]\nname = "{name}"\npcr = {pcr}\ndigests = {digests}\nrequired = {required}\n'
    )


def test_lint_says_what_an_attacker_would_like():
    poor = PROFILE.replace("required = true\ndbx", "required = false\ndbx", 1)
    for change, about in (
        (lambda t: t.replace('measured = ["/opt/framegate/"]', ""), "[ima] measured"),
        (lambda t: poor, "[secure_boot] required"),
        (lambda t: t.replace("max_violations = 0", "max_violations = 9"), "[ima] max_violations"),
        (
            lambda t: 'quirks = ["systemd-phases"]\n' + t.replace("9, 10]", "9, 10, 11]"),
            "systemd-phases",
        ),
        (
            lambda t: t + '\n[[event]]\nname = "x"\npcr = 5\ndigests = "any"\nrequired = false\n',
            "x",
        ),
        (lambda t: t.replace("lockdown=integrity", "*"), "command line"),
    ):
        assert about in {r.about for r in lint(parse_profile(change(PROFILE).encode()))}, about
    plain = profile_toml(replace(Firmware("x"), ima=False), "x")
    assert [r.about for r in lint(parse_profile(plain.encode())) if r.error] == ["[ima]"]


def test_diff_tells_what_changed_and_nothing_else():
    from dataclasses import replace

    old = parse_profile(PROFILE.encode())
    assert (
        diff(
            old, parse_profile(PROFILE.replace('name = "boot loader"', 'name = "loader"').encode())
        )
        == []
    ), "another name alone is no change"
    new = replace(
        Firmware("simulated-camera"),
        kernel="kernel 7",
        command_line="/vmlinuz-7 ro",
        revocations=5,
        sbat="sbat,1\nshim,5\n",
    )
    lines = diff(old, parse_profile(profile_toml(new, "simulated-camera", 2).encode()))
    assert any(line.startswith("kernel: allows") for line in lines) and any(
        line.startswith("kernel: no longer allows") for line in lines
    )
    assert (
        "text in PCR 8: allows '/vmlinuz-7 ro'" in lines
        and "revocation list, hashes demanded: 2 more, 0 no longer" in lines
    )
    assert not any("CRTM" in line or "separator" in line for line in lines)


@pytest.mark.parametrize(
    ("profile_with_gap", "about"),
    [
        (lambda: profile(more=event("kernel", 4)), "kernel"),
        (lambda: profile(("pcr = 0\n", "pcr = 2\n")), "PCR 0"),
        (lambda: profile((DBX + "\n", "")), "[secure_boot] dbx_minimum"),
        (lambda: profile((SBAT + "\n", "")), "[secure_boot] sbat_minimum"),
        (lambda: profile(), "[tpm] firmware"),
        (lambda: profile(("pcr = 5\n", "pcr = 3\n")), "PCR 5"),
        (lambda: profile(("max_violations = 0", NO_TMP)), "[ima] exclude"),
    ],
)
def test_lint_names_each_gap(profile_with_gap: Callable[[], FirmwareProfile], about: str):
    assert about in {r.about for r in lint(profile_with_gap())}


def test_lint_finds_nothing_of_that_in_a_profile_that_asks_for_it():
    asked = {r.about for r in lint(profile((ANY_TPM, ONE_TPM)))}
    assert not asked & {
        "[tpm] firmware",
        "kernel",
        "PCR 0",
        "PCR 5",
        "[secure_boot] dbx_minimum",
        "[ima] exclude",
    }


def test_a_profile_is_explained_sentence_by_sentence():
    said = explain(profile())
    assert said[0].startswith("simulated-camera 1.0.0, revision 1: simulated")
    for sentence in (
        "Secure Boot must be on.",
        "The revocation list holds at least 3 given hashes; more is welcome.",
        "TPM firmware of any version.",
        "Something was measured under /opt/framegate/.",
    ):
        assert sentence in said
    assert any("must hold kernel (1 digest)" in s for s in said)
    assert any("may hold any BootOrder, Boot####" in s for s in said)
    assert "By the agent's own word: os_ids debian, ubuntu." in said


def test_a_profile_that_asks_for_less_is_explained_as_that():
    said = explain(
        profile(
            ("required = true\ndbx", "required = false\ndbx"),
            (DBX + "\n", ""),
            (SBAT + "\n", ""),
            ('firmware = "any"', 'firmware = ["00000000000000aa", "00000000000000ab"]'),
            ('description = "simulated: the images are made up"\n', ""),
            ('measured = ["/opt/framegate/"]\n', ""),
            ("9, 10]", "9, 10, 11]"),
            ("[profile]", 'quirks = ["systemd-phases"]\n[profile]'),
            ('allow = ["', 'allow = ["a", "b", "c", "'),
            more=event("driver", 3, '"any"', "false"),
        )
    )
    assert said[0] == "simulated-camera 1.0.0, revision 1"
    assert "Secure Boot may be off." in said
    assert "TPM firmware one of 00000000000000aa, 00000000000000ab." in said
    assert any("may hold driver (anything)" in s for s in said)
    assert any("a | b | c …" in s for s in said) and any("Quirk systemd-phases" in s for s in said)
    assert any("PCR 11" in s and "nothing but the separator" in s for s in said)
    assert not any("revocation" in s or "SBAT" in s or "measured under" in s for s in said)


def changed(*changes: tuple[str, str], more: str = "") -> list[str]:
    return diff(profile(), profile(*changes, more=more))


def test_every_kind_of_change_is_told_in_both_directions():
    kinds = {
        "quotes sha256 PCR": [("8, 9, 10]", "8, 9, 10, 14]")],
        "Secure Boot may now be off": [("required = true\ndbx", "required = false\ndbx")],
        "revocation list, hashes demanded: 0 more, 3 no longer": [(DBX + "\n", "")],
        "SBAT minimum none instead of grub,4 sbat,1 shim,4": [(SBAT + "\n", "")],
        "TPM firmware 00000000000000aa instead of any": [
            ('firmware = "any"', 'firmware = ["00000000000000aa"]')
        ],
        "grants quirk systemd-phases": [
            ("9, 10]", "9, 10, 11]"),
            ("[profile]", 'quirks = ["systemd-phases"]\n[profile]'),
        ],
        "[ima] max_violations: 3 instead of 0": [("max_violations = 0", "max_violations = 3")],
        "allowlists abababababab instead of": [(ALLOWLISTS, OTHER_LIST)],
        "posture os_ids": [('["debian", "ubuntu"]', '["debian"]')],
        "variable BootOrder in PCR 1 may no longer be anything": [('"BootOrder", ', "")],
        "text in PCR 8: no longer allows": [("lockdown=integrity", "quiet")],
        "kernel: in PCR 2 instead of 4": [('name = "kernel"\npcr = 4', 'name = "kernel"\npcr = 2')],
        "text in PCR 8: no longer required": [
            ('integrity"]\nrequired = true', 'integrity"]\nrequired = false')
        ],
    }
    for sentence, changes in kinds.items():
        lines = changed(*changes)
        assert any(line.startswith(sentence) for line in lines), (sentence, lines)
        assert diff(profile(*changes), profile()), sentence


def test_rules_that_come_go_and_ask_for_less():
    assert changed(more=event("driver", 3)) == ["driver: new, required in PCR 3"]
    back = diff(profile(more=event("driver", 3)), profile())
    assert back == ["driver: no longer required in PCR 3"]
    strict = profile(more=event("driver", 3))
    loose = profile(more=event("driver", 3, '"any"', "false"))
    assert diff(strict, loose) == [
        "driver: no longer allows abababababababab…",
        "driver: no longer required",
        "driver: claims anything",
    ]
    assert "driver: claims only given digests" in diff(loose, strict)
    text = PROFILE
    start, end = text.index("[ima]"), text.index("[[variable]]")
    without = parse_profile((text[:start] + text[end:]).replace("9, 10]", "9]").encode())
    assert "asks for no IMA list any more" in diff(profile(), without)
    assert "asks for the IMA list" in diff(without, profile())


KEYS = [
    ec.generate_private_key(ec.SECP256R1())
    .public_key()
    .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    .decode()
    for _ in range(2)
]


def signed_under(pem: str) -> tuple[str, str]:
    return (
        "max_violations = 0",
        f'max_violations = 0\nsigned = ["/lib/"]\nkeys = [{json.dumps(pem)}]',
    )


def test_keys_of_files_are_told_apart_by_their_identifiers():
    one, two = (profile(signed_under(pem)) for pem in KEYS)
    (line,) = diff(one, two)
    assert line.startswith("[ima] keys: ")
    assert all(k.hex() in line for k in (*one.ima.keys, *two.ima.keys))
    assert any("or is signed under /lib/" in s for s in explain(one))
    for bad in ("junk", "-----BEGIN PUBLIC KEY-----"):
        with pytest.raises(Malformed, match="keys as PEM public keys"):
            profile(signed_under(bad))


def test_whole_values_by_a_quirk_are_explained_and_told():
    def pinned(value: str) -> FirmwareProfile:
        start = 'quirks = ["pcr-by-value"]'
        table = f'[pcr_values]\n1 = ["{value * 32}"]\n'
        return profile(("[profile]", f"{start}\n[profile]"), more="\n" + table)

    said = explain(pinned("ab"))
    assert any("PCR 1" in s and "one of 1 whole values, by quirk" in s for s in said)
    assert "other whole PCR values" in diff(pinned("ab"), pinned("cd"))


def without(text: str, *starts: str) -> str:
    """The profile without the tables that begin so."""
    for start in starts:
        at = text.index(start)
        end = text.find("\n[", at + 3)
        text = text[:at] + (text[end + 1 :] if end > 0 else "")
    return text


def test_a_quote_that_leaves_out_commands_and_files_is_remarked():
    text = without(PROFILE, "[[text]]", '[[event]]\nname = "initrd"', "[ima]")
    narrow = parse_profile(text.replace("7, 8, 9, 10]", "7]").encode())
    (remark,) = [r for r in lint(narrow) if r.about == "pcrs"]
    assert not remark.error and "kernel command line and initrd are not appraised" in str(remark)
    assert not any("allowlist" in s or "measured" in s for s in explain(narrow))


@pytest.mark.parametrize(("pcr", "required"), [(4, "false"), (5, "true")])
def test_a_claim_of_anything_where_it_may_not_stand(pcr, required):
    with pytest.raises(Malformed, match=r'digests = "any" not required and outside PCR') as caught:
        profile(more=event("driver", pcr, '"any"', required))
    assert caught.value.reason == Reason.PROFILE_INVALID


def test_a_protection_that_was_off_is_allowed_told_and_demanded_of_nobody():
    for text in (b"DMA Protection Disabled", b"UEFI Debug Mode\0"):
        off = Measurement("off", 7, EventType.EFI_ACTION, text, text)
        log = parse_boot_log(boot_log([*measurements(Firmware("m")), off]))
        body, _ = learn(
            [Observation(log)], name="m", version="1", revision=1, description="", bank=Alg.SHA256
        )
        profile = parse_profile(tomli_w.dumps(body).encode())
        (rule,) = [r for r in profile.rules if text.rstrip(b"\0").decode() in r.name]
        assert not rule.required
        (remark,) = [r for r in lint(profile) if r.about == rule.name]
        assert not remark.error and "allowed" in remark.text
        demanding = tomli_w.dumps(body).replace("required = false\n", "required = true\n")
        (remark,) = [r for r in lint(parse_profile(demanding.encode())) if r.about == rule.name]
        assert remark.error and "demanded" in remark.text
        elsewhere = replace(off, pcr=5)
        other = parse_boot_log(boot_log([*measurements(Firmware("m")), elsewhere]))
        body, _ = learn(
            [Observation(other)], name="m", version="1", revision=1, description="", bank=Alg.SHA256
        )
        assert not any("off" in r.text for r in lint(parse_profile(tomli_w.dumps(body).encode())))


def test_words_of_user_space_are_explained_and_compared():
    extend = '\n[[extend]]\nname = "NvPCRs"\npcrs = [9]\nwords = ["nvpcr-separator"]\n'
    plain = profile_toml(Firmware("m"), "m")
    granted = plain.replace("[profile]", 'quirks = ["user-space-extends"]\n[profile]', 1) + extend
    old, new = (parse_profile(t.encode()) for t in (plain, granted))
    said = "After boot, PCR 9 may go on with nvpcr-separator (NvPCRs)."
    assert said in explain(new) and said in diff(old, new)
    assert f"no longer: {said}" in diff(new, old)


def test_what_a_profile_is_for_is_explained_and_told_where_it_changes():
    old, new = parse_profile(PROFILE.encode()), PROFILE.replace('kind = "camera"\n', "")
    assert "For cameras alone." in explain(old)
    assert "For machines of any kind." in explain(parse_profile(new.encode()))
    (line,) = diff(old, parse_profile(new.encode()))
    assert line == "is for machines of any kind instead of cameras alone"
