"""Profiles that are refused, and those that are shipped."""

import pytest

from framegate.errors import Malformed, Reason
from framegate.ima.allowlist import parse_allowlist
from framegate.profile.model import MAX_PROFILE_BYTES, parse_profile
from framegate.profile.review import lint
from framegate_simulators.machine.boot import Firmware, profile_toml
from framegate_simulators.machine.ima import allowlist_of
from support.paths import ROOT

PROFILE = profile_toml(Firmware("simulated-camera"), "simulated-camera")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('bank = "sha256"', 'bank = "sha1"'),
        ('bank = "sha256"', 'bank = "md5"'),
        ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = []"),
        ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]"),
        (
            "pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]",
            "pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 24]",
        ),
        ("revision = 1", "revision = 0"),
        ("revision = 1", 'revision = "1"'),
        ("revision = 1", ""),
        ('firmware = "any"', ""),
        ('firmware = "any"', 'firmware = ["x"]'),
        ("required = true", "required = false"),
        ('os_ids = ["debian", "ubuntu"]', "os_ids = []"),
        ("[secure_boot]", "[secure_boots]"),
        ("[tpm]", "[tpm]\nskip = true"),
        ("[[event]]", "[[events]]"),
        ('digests = ["', 'digests = ["zz'),
        ('name = "simulated-camera"', 'name = "Bad Name"'),
        ('name = "kernel"\npcr = 4', 'name = "kernel"\npcr = 14'),
        ('name = "kernel"\npcr = 4', 'nom = "kernel"\npcr = 4'),
        ("pcr = 8\nallow", "pcr = 7\nallow"),
        ("pcr = 8\nallow", "allow"),
        ("pcr = 1\nnames", "pcr = 2\nnames"),
        ("[ima]", '[pcr_values]\n10 = ["00"]\n\n[ima]'),
        ("[ima]", '[ima]\nsigned = ["/opt/"]\nkeys = ["junk"]'),
        ("[ima]", '[ima]\nsigned = ["/opt/"]'),
        ('kind = "camera"', 'kind = "robot"'),
        ('kind = "camera"', 'kind = ""'),
        ('kind = "camera"', "kind = 1"),
        ('kind = "camera"', 'kinds = ["camera"]'),
    ],
)
def test_profiles_that_are_refused(old, new):
    assert old in PROFILE
    with pytest.raises(Malformed) as caught:
        parse_profile(PROFILE.replace(old, new).encode())
    assert caught.value.reason == Reason.PROFILE_INVALID or "name" in str(caught.value)


def test_profile_that_is_empty_or_too_large():
    for raw in (b"", b"\xff", b"#" * (MAX_PROFILE_BYTES + 1)):
        with pytest.raises(Malformed):
            parse_profile(raw)


def test_shipped_profiles_are_what_the_simulators_boot():

    folder = ROOT / "firmware_profiles"
    for kind in ("camera", "gateway"):
        shipped = (folder / f"simulators-{kind}-1.0.0.toml").read_text()
        assert shipped == profile_toml(Firmware(f"simulated-{kind}"), f"simulated-{kind}")
        profile = parse_profile(shipped.encode())
        assert profile.name == f"simulated-{kind}" and not [r for r in lint(profile) if r.error]
        allowlist = (folder / f"simulators-{kind}-1.0.0.allowlist").read_bytes()
        assert (
            allowlist == allowlist_of(profile.name, Firmware("x").release)
            and parse_allowlist(allowlist).digest in profile.ima.allowlists
        )


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[ima]", "[imas]"),
        ('digests = ["', 'digests = "any"\nx = ["'),
        ("pcr = 8", "pcr = 7"),
        ('names = ["BootOrder", "Boot####"]', "names = []"),
        ("max_violations = 0", "max_violations = -1"),
        ('measured = ["/opt/framegate/"]', 'measured = ["opt/"]'),
        ('measured = ["/opt/framegate/"]', 'signed = ["/lib/"]'),
        ('measured = ["/opt/framegate/"]', 'signed = ["/lib/"]\nkeys = ["x"]'),
        ("dbx_minimum = [", 'dbx_minimum = ["00", '),
        ('sbat_minimum = ["', 'sbat_minimum = ["shim", "'),
        ("[profile]", 'quirks = ["be-nice"]\n[profile]'),
        ("[profile]", 'quirks = ["pcr-by-value"]\n[profile]'),
        ("[profile]", 'quirks = ["systemd-phases"]\n[profile]'),
        ("[ima]", '[pcr_values]\n"0" = ["00"]\n[ima]'),
        ('allowlists = ["sha256:', 'allowlists = ["md5:'),
        ("pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]", "pcrs = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]"),
    ],
)
def test_profiles_of_the_deeper_kind_that_are_refused(old, new):
    assert old in PROFILE
    with pytest.raises(Malformed) as caught:
        parse_profile(PROFILE.replace(old, new, 1).encode())
    assert caught.value.reason == Reason.PROFILE_INVALID
