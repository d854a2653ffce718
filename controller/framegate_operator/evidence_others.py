"""Files that lie beside evidence and are no evidence that Framegate reads: each named, with what to
give instead.
"""

from __future__ import annotations

import io
import re
from typing import Any, Final

import cbor2

from framegate.identity.ber import SEQUENCE, Element, elements
from framegate.identity.der import OBJECT_ID
from framegate.image_header import other_image

_CEL: Final = (
    "a canonical event log (TCG CEL), as {}: give the boot log and the IMA list that it was made of"
)
_KERNEL_TEXT: Final = re.compile(rb" ?[ 0-9][0-9] [0-9a-f]{40} [0-9a-f]{2,8} \[.*\]\s")
_MAGIC: Final = (
    (b"Spec ID Event", "the data of a Spec ID event, cut out of a boot log"),
    (b"CCEL", "an ACPI table that says where a confidential guest's event log lies"),
    (b"HCLA", "a report of a confidential guest's paravisor (HCL)"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x89PNG", "a PNG image"),
    (
        b"\x1e{",
        "systemd's log of what user space measured, as JSON-SEQ: give the kernel's boot log",
    ),
    (b"\x7fELF", "a program"),
    (b"SQLite format 3", "a SQLite database"),
    (
        b"version https://git-lfs",
        "a pointer of Git LFS, not the file it stands for: git lfs pull",
    ),
    (b"\xba\xdc\xc0\xde", "a saved context of tpm2-tools: tpm2_readpublic -c FILE -o AK writes it"),
    (b"\xfe\xed\xfe\xed", "a Java key store: keytool -exportcert -rfc writes its certificate"),
    (b"MZ", "a program of UEFI or Windows (PE), a UKI or a boot loader: its hash is measured"),
    (
        bytes.fromhex("a159c0a5e494a74a87b5ab155c2bf072"),
        "a signature database of UEFI (ESL), certificates",
    ),
    (
        bytes.fromhex("2616c4c14c509240aca941f936934328"),
        "a signature database of UEFI (ESL), hashes",
    ),
    (b"PCPM", "a key of Windows' TPM provider"),
    (b"PADS", "a statement of Windows' TPM provider"),
    (b"RSA1", "a public key of Windows"),
    (b"ECS1", "a public key of Windows"),
    (b"TPM2", "the ACPI table of a TPM"),
    (b"SPDX", "a bill of materials (SPDX)"),
    (b"ssh-", "a public key of SSH"),
    (b"ecdsa-sha2-", "a public key of SSH"),
    (b"eyJ", "a JSON web token (JWT)"),
    (
        (1).to_bytes(8, "little"),
        "the firmware's table of final events alone: give the kernel's binary_bios_measurements,"
        " which has them behind the others",
    ),
)
_TEXTS: Final = (
    (rb"magic: [0-9a-f]{8}\s", "an attestation as tpm2_print writes it: give the binary file"),
    (rb"name: [0-9a-f]{68,}\s", "what tpm2_readpublic printed: give the file it wrote with -o"),
    (rb"name-alg:\s", "a key as tpm2_print writes it: give the binary file"),
    (rb"TPM2_PT_", "what tpm2_getcap printed"),
    (
        rb"selected-pcrs:",
        "the banks that a TPM has: tpm2_pcrread prints values",
    ),
    (rb"time: \d+\s", "what tpm2_readclock printed"),
    (
        rb"r[A-Za-z0-9+/=]{40,}:[A-Za-z0-9+/=]{40,}:",
        "a quote as Keylime's agent sends it: three base64 parts (attestation, signature, PCR"
        " values) behind an r; give each as a file",
    ),
    (
        rb"---\r?\nversion:",
        "YAML: the text of tpm2_eventlog? give the binary log it was made from",
    ),
    (rb"---\s", "YAML"),
    (
        rb"(?:coreboot )?TPM2? log",
        "coreboot's log as cbmem prints it: give the kernel's binary_bios_measurements",
    ),
    (
        rb"(?s).{1,300}?[ :\t\n]1\d (?:[0-9a-f]{2}){20,64} (?:ima|evm-sig|d[-|]|n[-|])\S* ",
        "lines of an IMA list with others, or with something in front of each (a prompt, grep,"
        " cat -n): give the list itself",
    ),
    (
        rb"(?:#.*\n)*(?:dont_)?(?:measure|appraise|hash|audit) (?:func|fsm|mask|uid|fow|obj)",
        "an IMA policy, which says what is measured: give the list that it led to",
    ),
    (
        rb"(?:[0-9A-Fa-f]{40}\s+|[0-9A-Fa-f]{64}\s+|[0-9A-Fa-f]{96}\s+|[0-9A-Fa-f]{128}\s+)+\Z",
        "digests alone, in hexadecimal: PCR values without their numbers? Give what grep -r ."
        " /sys/class/tpm/tpm0/pcr-sha256 prints",
    ),
    (
        rb"(?s).{20}\x00\x02\xf1\x0e",
        "a signed update of a UEFI variable (.auth)",
    ),
    (rb"ERROR[: ]", "what a tool printed when it failed"),
    (rb"\d+:sha\d+=[0-9a-f]{40,}\s", "PCR values that systemd-measure expects"),
    (rb"https?://", "an address: give what lies there (curl -O)"),
    (rb"\[ *\d+\.\d{6}\] ", "lines of the kernel's own log: give the file that they speak of"),
    (rb"\d+\(\s*[{\[h]", "CBOR in diagnostic notation: give the CBOR itself"),
    (
        rb"%%%% HASHDEEP",
        "a list of hashdeep: framegate profile allowlist takes checksums as sha256sum writes them",
    ),
    (
        rb"(?s)\0\0\0[\0-\x17].{20}\0\0\0[\x03-\x40](?:ima|evm|d\||d-ng)",
        "an IMA list of a big-endian machine: boot it with ima_canonical_fmt",
    ),
)
_JSON: Final = {
    "records": "JSON of systemd-pcrlock: what it expects to be measured",
    "content_type": _CEL.format("JSON"),
    "recnum": _CEL.format("JSON"),
    "has_secureboot": "a measured boot policy of Keylime: framegate profile learn makes a profile"
    " from a boot log",
    "excludes": "a runtime policy of Keylime: framegate profile allowlist takes checksums"
    " as sha256sum writes them",
    "corim-id": "a template that a CoRIM is made from, JSON: give the CBOR",
    "tag-identity": "a template that a CoMID is made from, JSON: give the CBOR",
    "hashes": "an allowlist of an old Keylime: framegate profile allowlist takes checksums as"
    " sha256sum writes them",
    "Measurements": "PCR values that a cloud image is expected to have (NitroTPM), no machine's",
    "pkfp": "signatures over PCR values that systemd-measure expects",
    "pcrValues": "a policy of systemd-pcrlock: PCR values that it expects",
    "PlatformParameters": "evidence of go-attestation: give its parts as files",
    "tpmQuote": "evidence of a confidential guest in Azure",
    "HostSecurityAttributes": "what fwupdmgr security says",
    "bomFormat": "a bill of materials (CycloneDX)",
    "SoftwareIdentity": "a SWID tag as JSON",
    "reference-values": "a template that a CoMID is made from, JSON: give the CBOR",
    "_type": "a statement of in-toto",
    "mask": "a TPM policy of Keylime: PCR values that it expects, and a mask",
}
"""JSON of other programs, by a member that it alone has."""
_CBOR_TAGS: Final = {
    17: "a COSE MAC",
    18: "a COSE signature, and no CoRIM in it",
    61: "an attestation token (CWT, EAT)",
    500: "a CoRIM of a form that is not read, CBOR",
    501: "a CoRIM of a form that is not read, CBOR",
    502: "a signed CoRIM of a form that is not read, CBOR",
    505: "a CoSWID, CBOR: the reference values of software, not of PCRs",
    506: "a CoMID of a form that is not read, CBOR",
    507: "a CoTS, CBOR: a list of trust anchors",
    508: "a CoTL, CBOR",
    1398229316: "a CoSWID, CBOR: the reference values of software, not of PCRs",
}
"""Tags of RFC 9052, RFC 8392, RFC 9393 and draft-ietf-rats-corim."""
_SNP_BYTES: Final = 1184
_SNP_VERSIONS: Final = range(2, 6)
"""Size and versions of a report (AMD 56860, ATTESTATION_REPORT)."""
_TDX_QUOTE: Final = bytes.fromhex("81000000")
"""TEE type of a quote of Intel TDX, behind version and key type."""
BARE_KEY: Final = "a public key in DER"
_PKCS12_VERSION: Final = b"\x03"


def named_bytes(raw: bytes) -> str:
    """What `raw` is by its first bytes; nothing where that is not known."""
    if is_cel_tlv(raw):
        return _CEL.format("TLV")
    found = next((what for magic, what in _MAGIC if raw.startswith(magic)), "")
    if not found and _KERNEL_TEXT.match(raw):
        found = "the kernel's boot log as text: give binary_bios_measurements beside it"
    found = found or next((what for text, what in _TEXTS if re.match(text, raw)), "")
    return found or other_image(raw) or _named_cbor(raw)


def named_report(raw: bytes) -> str:
    """Which processor's report or quote `raw` is; nothing where it is none."""
    version = int.from_bytes(raw[:4], "little")
    if len(raw) == _SNP_BYTES and version in _SNP_VERSIONS:
        return "an attestation report of AMD SEV-SNP"
    if raw[:2] in {b"\4\0", b"\5\0"} and raw[4:8] == _TDX_QUOTE:
        return "a quote of Intel TDX"
    return ""


def named_json(body: Any) -> str:
    """What JSON of another program is, by its members; nothing where that is not known."""
    for each in (body, *(body.values() if isinstance(body, dict) else ())):
        first = each[0] if isinstance(each, list) and each else each
        if isinstance(first, dict):
            for member, what in _JSON.items():
                if member in first:
                    return what
    return ""


def named_der(parts: tuple[Element, ...]) -> str:
    """What a SEQUENCE of `parts` is that is no certificate; nothing where it may be one."""
    tags = [p.tag for p in parts]
    inner = [c.tag for c in parts[0].children] if parts else []
    if tags[:2] == [SEQUENCE, 0x03] and inner[:1] == [OBJECT_ID]:
        return BARE_KEY
    if tags[:1] == [0x02]:
        if parts[0].content == _PKCS12_VERSION and tags[1:2] == [SEQUENCE]:
            return "PKCS #12: openssl pkcs12 -in FILE -nokeys writes its certificates"
        return "a private key in DER: keep it to yourself, nothing here asks for one"
    if tags != [SEQUENCE, SEQUENCE, 0x03]:
        return "DER, and no certificate"
    if inner[:3] == [0x02, SEQUENCE, SEQUENCE] and len(inner) <= 4 and 0xA0 in inner[3:]:
        return "a request for a certificate (CSR), not a certificate"
    holder = parts[0].children[1] if len(inner) > 2 and inner[0] == 0x02 else None
    if holder is not None and holder.children and holder.children[0].tag in {0xA0, 0xA1, 0xA2}:
        return "an attribute certificate in DER: a TCG platform certificate?"
    if inner[:2] == [0x02, SEQUENCE] and len(inner) < 8 and 0x17 in inner:
        return "a revocation list (CRL) in DER"
    return ""


def der_parts(raw: bytes, size: int) -> tuple[Element, ...] | None:
    """The elements of the SEQUENCE of `size` bytes that `raw` begins with; None where it is cut off
    or broken.
    """
    try:
        return next(elements(raw[:size])).children
    except (ValueError, StopIteration):
        return None


def is_cel_tlv(raw: bytes) -> bool:
    """Whether `raw` begins as a canonical event log in TLV does (TCG CEL 1.0, 5.1): record number
    and PCR or NV index, each as type, length and value, and digests behind them.
    """
    at, kinds = 0, []
    for _ in range(3):
        kind, size = raw[at : at + 1], int.from_bytes(raw[at + 1 : at + 5], "big")
        if not kind or not 0 < size <= len(raw) - at - 5:
            return False
        kinds.append(kind[0])
        at += 5 + size
    return kinds[0] == 0 and kinds[1] in {1, 2} and kinds[2] == 3


def _named_cbor(raw: bytes) -> str:
    stream = io.BytesIO(raw)
    try:
        body = cbor2.CBORDecoder(stream).decode()
    except (cbor2.CBORDecodeError, ValueError, TypeError, OverflowError, RecursionError, EOFError):
        tag = int.from_bytes(raw[1:3], "big") if raw[:1] == b"\xd9" else 0
        known = {500: "CoRIM", 501: "CoRIM", 505: "CoSWID", 506: "CoMID"}.get(tag)
        return f"CBOR of a {known} that is cut off or broken: copy it again" if known else ""
    behind = len(raw) - stream.tell()
    if isinstance(body, cbor2.CBORTag):
        told = _CBOR_TAGS.get(body.tag, "")
        return f"{told}, with {behind} bytes behind it" if told and behind else told
    first = body[0] if isinstance(body, list) and body else body
    if isinstance(first, dict) and ("recnum" in first or ({0, 3} < set(first) and len(first) <= 5)):
        return _CEL.format("CBOR")
    return "CBOR" if isinstance(body, dict | list) and body and not behind else ""
