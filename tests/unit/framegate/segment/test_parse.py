import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.access.policy import default_files, parse_policy, policy_digest
from framegate.errors import FramegateError, Malformed, Reason
from framegate.segment.parse import MAX_BYTES, parse_segments
from framegate.segment.policy import FILE, End, Mode
from support.refusals import refused
from support.segments import CAM1, ZONE, planned_segment, segment_text


def changed(old, new, text=None):
    text = text or segment_text()
    assert old in text
    return text.replace(old, new, 1)


def test_the_planned_segment_is_read_as_it_is_written():
    segment = planned_segment()
    assert segment.life_s == 30 and segment.zones["cameras"].mode is Mode.ENFORCE
    assert segment.conduits["join"].trust == frozenset()
    assert segment.conduits["frames"].trust == {End.FROM, End.TO}
    assert segment.named(CAM1).port == "p-cam1"
    assert segment.bound(segment.named(CAM1).addresses[1]).device == CAM1


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('mode = "enforce"', 'mode = "enforced"'),
        ('mode = "enforce"', "mode = true"),
        ('mode = "enforce"', ""),
        ('life = "30s"', 'life = "4s"'),
        ('life = "30s"', 'life = "301s"'),
        ('life = "30s"', "life = 30"),
        ('life = "30s"', 'live = "30s"'),
        ('interfaces = ["brc"]', "interfaces = []"),
        ('interfaces = ["brc"]', 'interfaces = ["brc", "brc"]'),
        ('interfaces = ["brc"]', 'interfaces = ["br c"]'),
        ('interfaces = ["brc"]', 'interfaces = ["brc\\" accept #"]'),
        ('interfaces = ["brc"]', 'interfaces = ["sixteen-letters-"]'),
        ('interfaces = ["brc"]', 'interfaces = ["brc", "br2"]'),
        ('interfaces = ["p-gw"]', 'interfaces = ["p-plc"]'),
        ('interfaces = ["p-gw"]', 'interfaces = ["p-cam1"]'),
        ("adjacent = true", "adjacent = false"),
        ("adjacent = true", 'adjacent = "yes"'),
        ('port = "tcp/8443"', 'port = "tcp/0"'),
        ('port = "tcp/8443"', 'port = "tcp/65536"'),
        ('port = "tcp/8443"', 'port = "sctp/8443"'),
        ('port = "tcp/8443"', "port = 8443"),
        (
            'port = "tcp/8443"',
            'port = "tcp/7443"\n[line-1.conduits.twice]\nfrom = "cameras"\n'
            'to = "gateways"\nport = "tcp/7443"\ntrust = []',
        ),
        ('to = "control"', 'to = "nowhere"'),
        ('to = "control"', ""),
        ("trust = []", ""),
        ("trust = []", 'trust = ["both"]'),
        ("trust = []", 'trust = ["to"]'),
        ('device = "camera.line-1.cam1"', 'device = "camera.line-2.cam1"'),
        ('device = "camera.line-1.cam1"', 'device = "cam1"'),
        ('device = "camera.line-1.cam1"', 'device = "camera.line-1.cam2"'),
        ('device = "camera.line-1.cam1"', 'device = "camera.line-1.cam1"\nhost = "x"'),
        ('device = "camera.line-1.cam1"', ""),
        ('mac = "02:00:00:00:01:0b"', 'mac = "02-00-00-00-01-0b"'),
        ('mac = "02:00:00:00:01:0b"', 'mac = "02:00:00:00:01:0c"'),
        ('mac = "02:00:00:00:01:0b"', ""),
        ('port = "p-cam1"', 'port = "p-cam2"'),
        ('port = "p-cam1"', 'port = "p-gw"'),
        ('port = "p-cam1"', ""),
        ('"10.10.1.11"', '"10.10.1.12"'),
        ('"10.10.1.11"', '"10.10.1.1"'),
        ('"10.10.1.11"', '"10.10.1.0/24"'),
        ('"10.10.1.11"', '"010.10.1.11"'),
        ('"10.10.1.11"', '"224.0.0.1"'),
        ('"10.10.1.11"', '"127.0.0.1"'),
        ('"fd10:1::11"', '"fd10:1:0::11"'),
        ('"fd10:1::11"', '"fe80::1%eth0"'),
        ('"fd10:1::11"', '"::ffff:10.10.1.99"'),
        ('zone = "cameras"', 'zone = "camera"'),
        ("[line-1.zones.cameras]", "[line-1.zones.a-name-longer-than-24-letters]"),
        ("[line-1.zones.cameras]", '[line-1.zones."came ras"]'),
        ("[line-1]\n", '[line-1]\nallow = "all"\n'),
    ],
)
def test_what_has_two_readings_or_none_is_refused(old, new):
    with pytest.raises(Malformed) as error:
        parse_segments(changed(old, new))
    assert error.value.reason in {Reason.SEGMENT, Reason.USAGE}


def test_too_much_and_no_toml_are_refused():
    assert refused(lambda: parse_segments("#" * (MAX_BYTES + 1))) == Reason.SEGMENT
    assert refused(lambda: parse_segments("[line-1")) == Reason.SEGMENT
    assert refused(lambda: parse_segments("")) == Reason.SEGMENT
    assert refused(lambda: parse_segments("a=" + "[" * 5000)) == Reason.SEGMENT


@given(st.text(max_size=300))
def test_any_text_is_read_or_refused_and_nothing_else(text):
    with contextlib.suppress(FramegateError):
        parse_segments(f"{text}\n{segment_text()}")


def test_it_is_a_file_of_the_access_policy_and_counts_in_its_digest():
    files = {**default_files(), FILE: segment_text()}
    policy = parse_policy(files, 3)
    assert policy.segments[ZONE] == planned_segment()
    assert policy.sha256 != policy_digest(default_files())
    assert not parse_policy(default_files()).segments


def test_a_policy_with_a_broken_segment_is_no_policy():
    assert refused(lambda: parse_policy({**default_files(), FILE: "[x]"})) == Reason.SEGMENT
    other = {**default_files(), "other.toml": segment_text()}
    assert refused(lambda: parse_policy(other)) == Reason.POLICY_INVALID
    schema = {n: t for n, t in default_files().items() if not n.endswith(".cedar")}
    assert refused(lambda: parse_policy({**schema, FILE: segment_text()})) == Reason.POLICY_INVALID
