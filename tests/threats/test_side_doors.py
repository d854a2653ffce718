"""N136, N137: what an evidence rule leaves open beside what it says."""

import re
from dataclasses import replace
from pathlib import Path

import pytest

import framegate_agent
from framegate.errors import Malformed, Reason
from framegate.eventlog import parse_boot_log
from framegate.evidence.boot_events import event_failures
from framegate.glob import matches
from framegate.ima.allowlist import AllowedFile, allowlist_text, parse_allowlist
from framegate.ima.entry import ImaEntry
from framegate.ima.judge import ImaRules, ima_failures
from framegate.ima.parse import parse_ima
from framegate.profile.learn import AGENT_FOLDER, IMA_POLICY, Observation, learn
from framegate.profile.model import parse_profile
from framegate.profile.review import diff, explain, lint
from framegate.tpm.constants import Alg
from framegate_simulators.machine.boot import Firmware, boot_log, measurements, profile_toml
from framegate_simulators.machine.ima import POLICY, ImaMachine, files_of
from support.ima import digest_of, reasons

ROOT = Path(__file__).parents[2]
CAMERA = Firmware("simulated-camera")
FILES = files_of(CAMERA.model, CAMERA.release)
TOML = profile_toml(CAMERA, "simulated-camera")
LINE = '["/vmlinuz-6.12.9 root=UUID=5d1c ro lockdown=integrity"]'
TMPFS = "0x1021994"


def policy_rules() -> list[list[str]]:
    lines = POLICY.read_text().splitlines()
    return [line.split() for line in lines if line and not line.startswith("#")]


# N136: a policy that measures less than it says


def test_n136_tmpfs_is_left_out_of_file_check_alone():
    rules = policy_rules()
    about_tmpfs = [r for r in rules if f"fsmagic={TMPFS}" in r]
    assert about_tmpfs == [["dont_measure", "func=FILE_CHECK", f"fsmagic={TMPFS}"]]
    left_out = {r[1] for r in rules if r[0] == "dont_measure" and not r[1].startswith("func=")}
    pseudo = {
        "0x9fa0",
        "0x62656572",
        "0x64626720",
        "0x73636673",
    }  # proc, sysfs, debugfs, securityfs
    assert left_out == {f"fsmagic={magic}" for magic in pseudo}


def test_n136_the_policy_measures_policies_other_kernels_and_critical_data():
    measured = {r[1] for r in policy_rules() if r[0] == "measure" and len(r) == 2}
    assert measured >= {
        f"func={name}"
        for name in (
            "POLICY_CHECK",
            "KEXEC_KERNEL_CHECK",
            "KEXEC_INITRAMFS_CHECK",
            "KEXEC_CMDLINE",
            "CRITICAL_DATA",
            "BPRM_CHECK",
            "MODULE_CHECK",
        )
    }


def test_n136_the_page_shows_the_policy_that_is_shipped():
    page = (ROOT / "docs/guides/operators/ima-policy.md").read_text()
    shown = "\n".join(line.removeprefix("    ") for line in re.findall(r"^    .*$", page, re.M))
    assert shown + "\n" == POLICY.read_text()
    assert POLICY.parent == Path(framegate_agent.__file__).parent


def joined_with(bench, files):
    forge = bench.forge()
    forge.ima = ImaMachine.booted(forge.pcrs, files)
    return bench.join(forge, bench.invite(ek=forge.ek_sha256))


def test_n136_a_gutted_policy_that_measures_our_files_alone_is_refused(bench):
    """Root took the rules for what runs out of the policy and restarted: nothing unknown shows up,
    and a machine was trusted that measured four files.
    """
    ours = {p: d for p, d in FILES.items() if p.startswith(AGENT_FOLDER.encode())}
    answer = joined_with(bench, ours)
    assert reasons(answer) == [Reason.IMA_FILE_ABSENT]
    assert IMA_POLICY in answer.failures[0].expected
    assert answer.state != "trusted"


def test_n136_a_gutted_policy_that_is_measured_is_an_unknown_file(bench):
    answer = joined_with(bench, FILES | {IMA_POLICY.encode(): digest_of(b"measure nothing")})
    assert set(reasons(answer)) == {Reason.IMA_FILE, Reason.IMA_FILE_ABSENT}


@pytest.mark.parametrize("path", [p for p in FILES if p.startswith(AGENT_FOLDER.encode())])
def test_n136_each_of_our_files_must_have_been_measured(bench, path):
    answer = joined_with(bench, {p: d for p, d in FILES.items() if p != path})
    assert reasons(answer) == [Reason.IMA_FILE_ABSENT]
    assert path.decode() in answer.failures[0].expected


def test_n136_a_gutted_policy_is_found_out_after_a_restart(bench):
    forge = bench.enrol()
    forge.clock = replace(forge.clock, reset_count=forge.clock.reset_count + 1)
    ours = {p: d for p, d in FILES.items() if p.startswith(AGENT_FOLDER.encode())}
    forge.ima = ImaMachine.booted(forge.pcrs, ours)
    answer = bench.attest(forge)
    assert answer.state == "suspect" and reasons(answer) == [Reason.IMA_FILE_ABSENT]


POLICY_DIGEST = digest_of(b"the policy")


def judged(*entries: ImaEntry, listed_at: str, first: bool = True) -> list[Reason]:
    rules = ImaRules((), 9, (b"/tmp/",), (), {}, (), False, (IMA_POLICY.encode(),))
    allowed = [AllowedFile("sha256", POLICY_DIGEST, p.encode()) for p in (listed_at,)]
    lists = [parse_allowlist(allowlist_text(allowed))]
    failures = ima_failures(entries, rules, lists, Alg.SHA256, {}, first=first, violations=0)
    return [f.reason for f in failures if f.reason == Reason.IMA_FILE_ABSENT]


def entry(path: str = IMA_POLICY, *, digest=POLICY_DIGEST, violation=False, algorithm="sha256"):
    name = path.encode()
    return ImaEntry(10, b"h", "ima-ng", b"d", algorithm, digest, name, b"", b"", violation)


def test_n136_what_counts_as_a_required_file():
    assert judged(entry(), listed_at=IMA_POLICY) == []
    absent = [Reason.IMA_FILE_ABSENT]
    assert judged(listed_at=IMA_POLICY) == absent
    assert judged(entry(digest=digest_of(b"other")), listed_at=IMA_POLICY) == absent
    assert judged(entry(violation=True), listed_at=IMA_POLICY) == absent
    assert judged(entry("/tmp/ima-policy"), listed_at=IMA_POLICY) == absent
    assert judged(entry(IMA_POLICY + "x"), listed_at=IMA_POLICY) == absent
    assert judged(entry(), listed_at="*") == absent, "allowed anywhere is not listed there"
    assert judged(listed_at=IMA_POLICY, first=False) == [], "asked of the whole list, once a boot"


def test_n136_a_learnt_profile_requires_our_files_and_the_policy():
    import tomli_w

    log = boot_log(measurements(CAMERA))
    whole = ImaMachine.booted({}, FILES)
    fewer = ImaMachine.booted(
        {}, {p: d for p, d in FILES.items() if p != b"/opt/framegate/lib/framegate_agent/main.py"}
    )
    body, _ = learn(
        [
            Observation(parse_boot_log(log), parse_ima(m.list_from()).entries)
            for m in (whole, fewer)
        ],
        name="m",
        version="1",
        revision=1,
        description="",
        bank=Alg.SHA256,
    )
    assert body["ima"]["required"] == [
        IMA_POLICY,
        *(f"/opt/framegate/lib/framegate_agent/{n}.py" for n in ("attestation", "daemon", "tpm")),
    ], "what every machine measured"
    profile = parse_profile(tomli_w.dumps(body).encode())
    assert not [r for r in lint(profile) if r.error]
    assert "4 given files were measured, each as it is listed." in explain(profile)


def changed(old: str, new: str):
    assert old in TOML, old
    return parse_profile(TOML.replace(old, new).encode())


REQUIRED = next(line for line in TOML.splitlines() if line.startswith('required = ["/etc'))


def test_n136_lint_insists_on_required_files():
    assert not [r for r in lint(parse_profile(TOML.encode())) if r.error]
    without = changed(REQUIRED + "\n", "")
    assert [r.about for r in lint(without) if r.error] == ["[ima] required"] * 2
    no_policy = changed(f'"{IMA_POLICY}", ', "")
    (remark,) = [r for r in lint(no_policy) if r.error]
    assert IMA_POLICY in remark.text
    (remark,) = [r for r in lint(changed(REQUIRED, f'required = ["{IMA_POLICY}"]')) if r.error]
    assert AGENT_FOLDER in remark.text
    excluded = changed("max_violations = 0", 'max_violations = 0\nexclude = ["/etc/ima/"]')
    assert [r.about for r in lint(excluded) if r.error] == ["[ima] required"]
    assert any("[ima] required" in line for line in diff(parse_profile(TOML.encode()), no_policy))


@pytest.mark.parametrize(
    "required", ['["etc/ima"]', '["/a/../b"]', '["/a", "/a"]', "[]", '"/a"', "[1]", '["/"]']
)
def test_n136_required_files_that_are_no_paths(required):
    with pytest.raises(Malformed):
        changed(REQUIRED, f"required = {required}")


# N137: wildcards over the borders of words, and PCRs that anything may claim

PATTERN = "/vmlinuz-* root=UUID=5d1c ro lockdown=integrity"


@pytest.mark.parametrize(
    "text",
    [
        "/vmlinuz-6.12.9 init=/bin/sh root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-6.12.9 module.sig_enforce=0 ima_policy= root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-6.12.9\tinit=x root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-6.12.9\ninit=x root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-6.12.9\xa0init=x root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-../../evil root=UUID=5d1c ro lockdown=integrity",
        '/vmlinuz-6" root=UUID=5d1c ro lockdown=integrity',
        "/vmlinuz-6' root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-6\\ root=UUID=5d1c ro lockdown=integrity",
        "/vmlinuz-6\0 root=UUID=5d1c ro lockdown=integrity",
        PATTERN.replace("*", "6.12.9") + " init=/bin/sh",
        "init=/bin/sh " + PATTERN.replace("*", "6.12.9"),
    ],
)
def test_n137_a_star_does_not_leave_its_word(text):
    assert not matches(text, PATTERN)
    assert matches(PATTERN.replace("*", "6.12.9"), PATTERN)


def test_n137_a_machine_with_another_init_is_refused():
    profile = changed(LINE, f'["{PATTERN}"]')
    for command, refused in (
        ("/vmlinuz-6.13.1 root=UUID=5d1c ro lockdown=integrity", []),
        (
            "/vmlinuz-6.13.1 init=/bin/sh root=UUID=5d1c ro lockdown=integrity",
            [Reason.COMMAND_LINE, Reason.EVENT_ABSENT],
        ),
    ):
        log = parse_boot_log(boot_log(measurements(replace(CAMERA, command_line=command))))
        assert [f.reason for f in event_failures(log, profile)] == refused


@pytest.mark.parametrize(
    ("allowed", "errors", "named"),
    [
        ("/vmlinuz-* ro", 0, ["'vmlinuz-*'"]),
        ("/vmlinuz-* root=UUID=* ro", 0, ["'vmlinuz-*'", "'root=UUID=*'"]),
        ("/vmlinuz ro **", 1, ["'**'"]),
        ("/vmlinuz * ro", 1, ["'*'"]),
        ("/vmlinuz *=1 ro", 1, ["'*=1'"]),
        ("/vmlinuz in*=sh ro", 1, ["'in*=sh'"]),
        ("/vmlinuz ** root=* *", 2, ["'**'", "'root=*'", "'*'"]),
        ("/vmlinuz ro", 0, []),
    ],
)
def test_n137_lint_names_every_star(allowed, errors, named):
    remarks = [r for r in lint(changed(LINE, f'["{allowed}"]')) if r.about == "command line"]
    assert sum(r.error for r in remarks) == errors
    assert sorted(r.text.split(" in ")[0] for r in remarks) == sorted(named)


def test_n137_lint_names_the_stars_of_posture_and_variables():
    loose = changed('os_ids = ["debian", "ubuntu"]', 'os_ids = ["debian"]\nkernels = ["6.*"]')
    assert "[posture] kernels" in {r.about for r in lint(loose)}
    assert "boot order and entries" in {r.about for r in lint(changed("Boot####", "Boot*"))}


@pytest.mark.parametrize("allowed", ["*", "**", "/vm** ro", "/vm ro***", "a=** b"])
def test_n137_patterns_that_no_profile_may_have(allowed):
    with pytest.raises(Malformed):
        changed(LINE, f'["{allowed}"]')


@pytest.mark.parametrize("pcr", [0, 2, 4, 7, 8, 9, 10, 11, 12, 13, 14])
def test_n137_no_pcr_of_code_can_be_claimed_by_anything(pcr):
    rule = f'\n[[event]]\nname = "x"\npcr = {pcr}\ndigests = "any"\nrequired = false\n'
    quoted = TOML.replace("9, 10]", "9, 10, 11, 12, 13, 14]")
    with pytest.raises(Malformed) as refused:
        parse_profile((quoted + rule).encode())
    assert refused.value.reason == Reason.PROFILE_INVALID
    assert parse_profile((quoted + rule.replace(f"pcr = {pcr}", "pcr = 5")).encode())
