"""A simulated boot: a chain of firmware images measured into PCRs, and the TCG event log that tells
of it.

The images are made-up byte strings; the hashing, the log format and the order of events are those
of UEFI machines (TCG PFP 1.06).
"""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass, replace
from typing import Any, Final

import tpm2_pytss as tss

from framegate.eventlog.content import (
    EXIT_BOOT_SERVICES,
    GLOBAL_VARIABLE,
    IMAGE_SECURITY,
    SHIM_LOCK,
    signature_list,
)
from framegate.eventlog.event_type import EventType
from framegate.identity.names import Kind
from framegate.profile.learn import AGENT_FOLDER, IMA_POLICY
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg
from framegate_simulators.machine.ima import allowlist_of, files_of

BANKS: Final = (Alg.SHA1, Alg.SHA256)


@dataclass(frozen=True, slots=True)
class Firmware:
    """What a machine boots: names stand for images, whose bytes are derived from them."""

    model: str
    version: str = "1.0.0"
    bootloader: str = "shim 15.8"
    kernel: str = "kernel 6.12.9"
    secure_boot: bool = True
    extra_event: str = ""
    drop_kernel: bool = False
    initrd: str = "initrd 6.12.9"
    command_line: str = "/vmlinuz-6.12.9 root=UUID=5d1c ro lockdown=integrity"
    sbat: str = "sbat,1,2024010900\nshim,4\ngrub,4\n"
    revocations: int = 3
    boot_order: bytes = b"\x00\x00\x01\x00"
    release: str = "12.9"
    ima: bool = True

    def tampered(self) -> Firmware:
        """The same machine with another boot loader."""
        return replace(self, bootloader=self.bootloader + " (implanted)")


@dataclass(frozen=True, slots=True)
class Measurement:
    """One event to measure: `content` is what is hashed, `data` what the log shows."""

    name: str
    pcr: int
    type: int
    content: bytes
    data: bytes

    def digest(self, bank: Alg) -> bytes:
        """The digest that is extended."""
        return hashlib.new(HASH_NAME[bank], self.content).digest()


def measurements(firmware: Firmware) -> list[Measurement]:
    """Everything this firmware measures, in order, with separators."""
    out: list[Measurement] = []

    def add(
        name: str, pcr: int, kind: EventType, content: bytes, data: bytes | None = None
    ) -> None:
        out.append(Measurement(name, pcr, kind, content, content if data is None else data))

    model = firmware.model
    add(
        "CRTM version",
        0,
        EventType.S_CRTM_VERSION,
        f"{model} {firmware.version}\0".encode("utf-16-le"),
    )
    blob = struct.pack("<QQ", 0xFF800000, 0x800000)
    add(
        "main firmware",
        0,
        EventType.EFI_PLATFORM_FIRMWARE_BLOB,
        image(f"{model} firmware {firmware.version}"),
        blob,
    )
    add(
        "platform configuration",
        1,
        EventType.EFI_HANDOFF_TABLES,
        image(f"{model} smbios"),
        struct.pack("<Q", 1),
    )
    add(
        "option ROM",
        2,
        EventType.EFI_BOOT_SERVICES_DRIVER,
        image(f"{model} network option rom"),
        b"option rom",
    )
    add(
        "firmware settings",
        3,
        EventType.EFI_PLATFORM_FIRMWARE_BLOB,
        image(f"{model} settings"),
        blob,
    )
    secure = b"\x01" if firmware.secure_boot else b"\x00"
    for guid, variable, value in [
        (GLOBAL_VARIABLE, "SecureBoot", secure),
        (GLOBAL_VARIABLE, "PK", image(f"{model} PK")),
        (GLOBAL_VARIABLE, "KEK", image(f"{model} KEK")),
        (IMAGE_SECURITY, "db", image(f"{model} db")),
        (IMAGE_SECURITY, "dbx", signature_list(revocations(firmware))),
    ]:
        add(
            f"variable {variable}",
            7,
            EventType.EFI_VARIABLE_DRIVER_CONFIG,
            _variable(guid, variable, value),
        )
    add(
        "boot order",
        1,
        EventType.EFI_VARIABLE_BOOT,
        _variable(GLOBAL_VARIABLE, "BootOrder", firmware.boot_order),
    )
    add("boot attempt", 4, EventType.EFI_ACTION, b"Calling EFI Application from Boot Option")
    for pcr in range(8):
        add(f"separator {pcr}", pcr, EventType.SEPARATOR, b"\0\0\0\0")
    add("partition table", 5, EventType.EFI_GPT_EVENT, image(f"{model} gpt"))
    add(
        "signer of the boot loader",
        7,
        EventType.EFI_VARIABLE_AUTHORITY,
        _variable(IMAGE_SECURITY, "db", image("vendor certificate")),
    )
    add(
        "SBAT level",
        7,
        EventType.EFI_VARIABLE_AUTHORITY,
        _variable(SHIM_LOCK, "SbatLevel", firmware.sbat.encode()),
    )
    add(
        "boot loader",
        4,
        EventType.EFI_BOOT_SERVICES_APPLICATION,
        image(f"{model} {firmware.bootloader}"),
        b"\\EFI\\debian\\shimx64.efi",
    )
    if firmware.extra_event:
        add(
            "extra",
            4,
            EventType.EFI_BOOT_SERVICES_APPLICATION,
            image(firmware.extra_event),
            b"\\EFI\\extra.efi",
        )
    if not firmware.drop_kernel:
        add(
            "kernel",
            4,
            EventType.EFI_BOOT_SERVICES_APPLICATION,
            image(f"{model} {firmware.kernel}"),
            b"\\EFI\\Linux\\linux.efi",
        )
    add(
        "command line",
        8,
        EventType.IPL,
        firmware.command_line.encode(),
        b"kernel_cmdline: " + firmware.command_line.encode() + b"\0",
    )
    add("initrd", 9, EventType.IPL, image(f"{model} {firmware.initrd}"), b"/initrd.img\0")
    add("exit boot services", 5, EventType.EFI_ACTION, EXIT_BOOT_SERVICES[0])
    add("exit boot services done", 5, EventType.EFI_ACTION, EXIT_BOOT_SERVICES[1])
    return out


def revocations(firmware: Firmware) -> list[bytes]:
    """SHA-256 hashes in this firmware's dbx; a later dbx holds those of an earlier one."""
    return [hashlib.sha256(b"revoked %d" % n).digest() for n in range(firmware.revocations)]


def image(name: str) -> bytes:
    """The bytes of a made-up image."""
    return hashlib.shake_256(b"framegate simulated image " + name.encode()).digest(2048)


def _variable(guid: bytes, name: str, value: bytes) -> bytes:
    encoded = name.encode("utf-16-le")
    return guid + struct.pack("<QQ", len(name), len(value)) + encoded + value


def boot_log(events: list[Measurement], *, locality: int | None = None) -> bytes:
    """The crypto-agile log of `events`."""
    spec = (
        b"Spec ID Event03\0" + struct.pack("<IBBBB", 0, 0, 2, 0, 2) + struct.pack("<I", len(BANKS))
    )
    spec += b"".join(struct.pack("<HH", b, DIGEST_SIZE[b]) for b in BANKS) + b"\0"
    log = (
        struct.pack("<II", 0, EventType.NO_ACTION) + bytes(20) + struct.pack("<I", len(spec)) + spec
    )
    if locality is not None:
        data = b"StartupLocality\0" + bytes([locality])
        log += _event(0, EventType.NO_ACTION, {b: bytes(DIGEST_SIZE[b]) for b in BANKS}, data)
    for event in events:
        log += _event(event.pcr, event.type, {b: event.digest(b) for b in BANKS}, event.data)
    return log


def _event(pcr: int, kind: int, digests: dict[Alg, bytes], data: bytes) -> bytes:
    head = struct.pack("<III", pcr, kind, len(digests)) + b"".join(
        struct.pack("<H", b) + d for b, d in digests.items()
    )
    return head + struct.pack("<I", len(data)) + data


def measure(esys: Any, events: list[Measurement]) -> None:
    """Extend a running TPM's PCRs with `events`, as the firmware does."""
    for event in events:
        values = [
            tss.TPMT_HA(hashAlg=b, digest=tss.TPMU_HA(**{HASH_NAME[b]: event.digest(b)}))
            for b in BANKS
        ]
        esys.pcr_extend(
            getattr(tss.ESYS_TR, f"PCR{event.pcr}"), tss.TPML_DIGEST_VALUES(digests=values)
        )


def _required(firmware: Firmware) -> list[str]:
    """The files that this machine's profile requires: the IMA policy and the agent's own."""
    paths = (p.decode() for p in files_of(firmware.model, firmware.release))
    return [p for p in paths if p == IMA_POLICY or p.startswith(AGENT_FOLDER)]


def profile_toml(firmware: Firmware, name: str, revision: int = 1) -> str:
    """The firmware profile that this firmware satisfies, for cameras alone where its model ends in
    `-camera`, and so on; with `ima`, its allowlist is `allowlist_of(model, release)`.
    """
    kinds = [k for k in Kind if firmware.model.endswith(f"-{k}")]
    pcrs = list(range(11 if firmware.ima else 10))
    lines = [
        (
            f"# Reference values of the simulated machine {firmware.model}; made by: framegate-sim"
            f" profile {firmware.model}"
        ),
        "",
        "[profile]",
        f'name = "{name}"',
        f'version = "{firmware.version}"',
        f"revision = {revision}",
        *(f'kind = "{kind}"' for kind in kinds),
        'description = "simulated: the images are made up"',
        'bank = "sha256"',
        f"pcrs = {pcrs}",
        "",
        "[tpm]",
        'firmware = "any"',
        "",
        "[secure_boot]",
        f"required = {str(firmware.secure_boot).lower()}",
        f"dbx_minimum = {json.dumps([h.hex() for h in revocations(firmware)])}",
        f"sbat_minimum = {json.dumps(firmware.sbat.split())}",
        "",
        "[posture]",
        'os_ids = ["debian", "ubuntu"]',
    ]
    if firmware.ima:
        digest = hashlib.sha256(allowlist_of(firmware.model, firmware.release)).hexdigest()
        lines += [
            "",
            "[ima]",
            f'allowlists = ["sha256:{digest}"]',
            "max_violations = 0",
            f'measured = ["{AGENT_FOLDER}"]',
            f"required = {json.dumps(_required(firmware))}",
        ]
    lines += [
        "",
        "[[variable]]",
        'name = "boot order and entries"',
        "pcr = 1",
        'names = ["BootOrder", "Boot####"]',
    ]
    lines += [
        "",
        "[[text]]",
        'name = "command line"',
        "pcr = 8",
        f"allow = {json.dumps([firmware.command_line])}",
        "required = true",
    ]
    elsewhere = {"boot order", "command line", "variable dbx", "SBAT level"}
    for event in measurements(firmware):
        if event.type != EventType.SEPARATOR and event.name not in elsewhere:
            lines += [
                "",
                "[[event]]",
                f'name = "{event.name}"',
                f"pcr = {event.pcr}",
                f'digests = ["{event.digest(Alg.SHA256).hex()}"]',
                "required = true",
            ]
    return "\n".join(lines) + "\n"
