"""Boot events in words."""

import pytest

from framegate.eventlog.describe import MAX_DESCRIPTION, describe_event
from framegate.eventlog.event_type import EventType
from framegate.eventlog.parse import BootEvent


def event(kind, data):
    return BootEvent(0, 0, 9, kind, (bytes(32),), data)


def tagged(data):
    return (0x8F3B22ED).to_bytes(4, "little") + len(data).to_bytes(4, "little") + data


@pytest.mark.parametrize(
    ("kind", "data", "said"),
    [
        (EventType.IPL, b"grub_cmd: boot\0", "grub_cmd: boot"),
        (EventType.IPL, ".linux\0".encode("utf-16-le"), ".linux"),
        (EventType.IPL, "root=LABEL=ü quiet\0".encode("utf-16-le"), "root=LABEL=ü quiet"),
        (EventType.EVENT_TAG, tagged(b"Linux initrd\0\0\0\0"), "Linux initrd"),
        (EventType.EVENT_TAG, tagged("loader.conf\0".encode("utf-16-le")), "loader.conf"),
        (EventType.EFI_ACTION, b"Exit Boot Services Invocation", "Exit Boot Services Invocation"),
        (EventType.EFI_HANDOFF_TABLES2, b"\x05ACPI\0", "handoff tables"),
        (EventType.CPU_MICROCODE, b"", "CPU microcode"),
        (EventType.IPL, b"a" * 200, "a" * MAX_DESCRIPTION),
    ],
)
def test_what_an_event_says(kind, data, said):
    assert describe_event(event(kind, data)) == said


@pytest.mark.parametrize(
    "data", [b"", b"\0\0\0\0", b"\x1b[31m", b"\xff\xff\xff", b"a\0\x1b\0[\0", b"\7\7", b"\0\xd8"]
)
def test_what_says_no_text_is_called_by_its_type(data):
    assert describe_event(event(EventType.IPL, data)) == "EV_IPL"
    assert describe_event(event(EventType.EVENT_TAG, tagged(data))) == "EV_EVENT_TAG"
    assert describe_event(event(EventType.EVENT_TAG, data)) == "EV_EVENT_TAG"


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (0x06, "EV_EVENT_TAG"),
        (0x8000000A, "EV_EFI_PLATFORM_FIRMWARE_BLOB2"),
        (0x8000000D, "EV_EFI_GPT_EVENT2"),
        (0x800000E4, "EV_EFI_SPDM_DEVICE_AUTHORITY"),
        (0x501, "0x00000501"),
    ],
)
def test_types_by_name(kind, name):
    assert event(kind, b"").type_name == name
