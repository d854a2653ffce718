"""What an agent reads of its machine."""

from pathlib import Path

import pytest

from framegate.profile.posture import parse_posture
from framegate_agent.posture import collect_posture, glance


def machine(root: Path) -> Path:
    """A file system as a machine shows it."""
    files = {
        "etc/os-release": 'ID=debian\nVERSION_ID="12"\n',
        "etc/passwd": (
            "root:x:0:0::/root:/bin/bash\ndaemon:x:1:1::/:/usr/sbin/nologin\n"
            "anna:x:1000:1000::/home/anna:/bin/zsh\n"
        ),
        "proc/net/tcp": (
            "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1:"
            " 00000000:0016 00000000:0000 0A 0\n   2: 0100007F:1F91 0100007F:0016 01 0\n"
        ),
        "proc/net/tcp6": (
            "  sl\n   0: 00000000000000000000000001000000:0050"
            " 00000000000000000000000000000000:0000 0A 0\n"
        ),
        "proc/net/udp": "  sl\n   0: 00000000:0044 00000000:0000 07 0\n",
        "proc/modules": "ext4 100 1 - Live 0x0\ntpm 5 0 - Live 0x0\n",
        "sys/bus/usb/devices/1-1/idVendor": "1d6b\n",
        "sys/bus/usb/devices/1-1/idProduct": "0002\n",
        "sys/bus/usb/devices/1-1/serial": "S\x1b[2J1\n",
        "sys/class/video4linux/video0/name": "HD Camera\n",
        "sys/kernel/security/lockdown": "none [integrity] confidentiality\n",
        "proc/self/mountinfo": "22 1 254:0 / / rw - ext4 /dev/mapper/root rw\n",
        "sys/dev/block/254:0/dm/uuid": "LVM-abc\n",
        "sys/dev/block/254:0/slaves/dm-1/dm/uuid": "CRYPT-LUKS2-x\n",
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    variable = root / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    variable.parent.mkdir(parents=True)
    variable.write_bytes(b"\6\0\0\0\1")
    return root


def test_what_a_machine_shows_is_what_is_reported(tmp_path):
    posture = collect_posture(root=machine(tmp_path))
    assert posture.listeners == [
        "tcp 0.0.0.0:22",
        "tcp 127.0.0.1:8080",
        "tcp [::1]:80",
        "udp 0.0.0.0:68",
    ]
    assert (posture.modules, posture.video, posture.shells) == (
        ["ext4", "tpm"],
        ["video0 HD Camera"],
        ["anna", "root"],
    )
    assert posture.usb == ["1d6b:0002 S?[2J1"], "no escape leaves the machine"
    assert (posture.secure_boot, posture.lockdown, posture.encrypted_root) == (1, "integrity", 1)
    assert parse_posture(posture.marshal()) == posture


def test_a_machine_that_shows_nothing_says_unknown(tmp_path):
    posture = collect_posture(root=tmp_path)
    assert (
        posture.secure_boot,
        posture.lockdown,
        posture.encrypted_root,
        posture.listeners,
        posture.usb,
    ) == (-1, "", -1, [], [])


def test_this_machine_can_be_read():
    assert (
        parse_posture(collect_posture([Path(__file__)]).marshal())
        .watched[0]
        .startswith(str(Path(__file__)))
    )


@pytest.mark.parametrize("change", ["listener", "usb", "video", "watched"])
def test_a_glance_sees_what_must_be_told_at_once(tmp_path, change):
    root = machine(tmp_path / "m")
    watched = tmp_path / "agent.conf"
    watched.write_text("a")
    before = glance([watched], root=root)
    assert glance([watched], root=root) == before
    if change == "listener":
        (root / "proc/net/tcp").write_text(
            (root / "proc/net/tcp").read_text() + "   3: 00000000:0539 00000000:0000 0A 0\n"
        )
    elif change == "usb":
        (root / "sys/bus/usb/devices/2-1").mkdir()
        (root / "sys/bus/usb/devices/2-1/idVendor").write_text("dead")
    elif change == "video":
        (root / "sys/class/video4linux/video1").mkdir()
    else:
        watched.write_text("bb")
    assert glance([watched], root=root) != before
