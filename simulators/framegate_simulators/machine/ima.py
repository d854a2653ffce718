"""A simulated IMA measurement list: what a kernel with an IMA policy would have measured, in the
kernel's binary format.

The kernels these simulators run on may have no IMA, so the list is made here and extended into the
simulated TPM: the bytes and the hashing are the kernel's, the files are made up. On a machine whose
kernel measures, the agent reads the kernel's own list instead.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import tpm2_pytss as tss

import framegate_agent
from framegate.ima.allowlist import AllowedFile, allowlist_text
from framegate.ima.entry import IMA_PCR
from framegate.profile.learn import AGENT_FOLDER, IMA_POLICY
from framegate.tpm.constants import DIGEST_SIZE, HASH_NAME, Alg

POLICY: Final = Path(framegate_agent.__file__).with_name("ima-policy")
"""The policy as it is shipped; on a machine it lies where `IMA_POLICY` says."""
BANKS: Final = (Alg.SHA1, Alg.SHA256)


def files_of(model: str, release: str) -> dict[bytes, bytes]:
    """Path to SHA-256 of the files a machine of this model and release starts with.

    The IMA policy that Framegate ships is among them: the kernel's own, by which it boots, measures
    what is loaded in its place (POLICY_CHECK).
    """
    names = [
        "/usr/lib/systemd/systemd",
        "/usr/bin/python3.11",
        "/usr/bin/dash",
        "/usr/lib/x86_64-linux-gnu/libc.so.6",
        "/usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2",
    ]
    names += [f"/usr/lib/modules/6.12.9/kernel/module{n}.ko" for n in range(12)]
    own = [
        f"{AGENT_FOLDER}lib/framegate_agent/{n}.py"
        for n in ("daemon", "tpm", "attestation", "main")
    ]
    names[1:1] = [IMA_POLICY]  # loaded by the first process
    made_up = {
        n.encode(): hashlib.sha256(f"{model} {release} {n}".encode()).digest()
        for n in (*names, *own)
    }
    return made_up | {IMA_POLICY.encode(): hashlib.sha256(POLICY.read_bytes()).digest()}


def allowlist_of(model: str, *releases: str) -> bytes:
    """The allowlist of these releases."""
    return allowlist_text(
        AllowedFile("sha256", digest, path)
        for release in releases
        for path, digest in files_of(model, release).items()
    )


@dataclass
class ImaMachine:
    """What the kernel of a simulated machine holds: the list, and the value of PCR 10 in every
    bank.
    """

    entries: list[bytes] = field(default_factory=list)
    extended: list[dict[Alg, bytes]] = field(default_factory=list)
    values: dict[Alg, bytes] = field(
        default_factory=lambda: {b: bytes(DIGEST_SIZE[b]) for b in BANKS}
    )

    @classmethod
    def booted(cls, pcrs: Mapping[int, bytes], files: Mapping[bytes, bytes]) -> ImaMachine:
        """A machine that measured boot_aggregate over SHA-256 PCR 0 to 9 and then `files`."""
        booted = cls()
        booted.measure(
            b"boot_aggregate",
            hashlib.sha256(b"".join(pcrs.get(p, bytes(32)) for p in range(10))).digest(),
        )
        for path, digest in files.items():
            booted.measure(path, digest)
        return booted

    def measure(
        self,
        path: bytes,
        digest: bytes,
        *,
        algorithm: str = "sha256",
        signature: bytes | None = None,
        violation: bool = False,
        pcr: int = IMA_PCR,
    ) -> None:
        """Add one entry and extend PCR 10, as ima_add_template_entry() does."""
        head = (algorithm + ":").encode() + b"\0"
        fields = [
            head + (bytes(len(digest)) if violation else digest),
            path + b"\0",
            *([signature] if signature is not None else []),
        ]
        body = b"".join(struct.pack("<I", len(f)) + f for f in fields)
        name = b"ima-ng" if signature is None else b"ima-sig"
        digests = {b: hashlib.new(HASH_NAME[b], body).digest() for b in BANKS}
        shown = bytes(20) if violation else digests[Alg.SHA1]
        self.entries.append(
            struct.pack("<I", pcr)
            + shown
            + struct.pack("<I", len(name))
            + name
            + struct.pack("<I", len(body))
            + body
        )
        put = {b: b"\xff" * DIGEST_SIZE[b] if violation else digests[b] for b in BANKS}
        self.extended.append(put)
        for bank, digest_ in put.items():
            self.values[bank] = hashlib.new(HASH_NAME[bank], self.values[bank] + digest_).digest()

    def list_from(self, offset: int = 0) -> bytes:
        """The binary list from entry `offset` on."""
        return b"".join(self.entries[offset:])

    def extend(self, esys: Any, since: int = 0) -> None:
        """Extend a running TPM with the entries from `since` on."""
        for put in self.extended[since:]:
            values = [
                tss.TPMT_HA(hashAlg=b, digest=tss.TPMU_HA(**{HASH_NAME[b]: d}))
                for b, d in put.items()
            ]
            esys.pcr_extend(tss.ESYS_TR.PCR10, tss.TPML_DIGEST_VALUES(digests=values))
