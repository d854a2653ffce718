"""What lint and diff say of a profile."""

from framegate.profile.model import parse_profile
from framegate.profile.review import diff, lint
from framegate_simulators.machine.boot import Firmware, profile_toml

PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")


def test_lint_says_what_an_attacker_would_like():
    from dataclasses import replace

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
        and "revocation list: 2 more hashes demanded, 0 no longer" in lines
    )
    assert not any("CRTM" in line or "separator" in line for line in lines)
