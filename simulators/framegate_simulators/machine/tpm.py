"""A TPM maker: a CA for endorsement keys, and swtpm instances with EK certificates in their NV.
SIMULATED hardware, real TPM 2.0 commands.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import tpm2_pytss as tss
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from framegate.identity.device_identity import IAK_USAGE
from framegate.identity.endorsement import EK_USAGE
from framegate.identity.key_usage import key_usage
from framegate.tpm.constants import Alg, Curve
from framegate.tpm.public import AK_ATTRS, marshal_public, parse_public
from framegate_agent.tpm.templates import EK_TEMPLATES
from framegate_host.private_files import make_private, private_folder
from framegate_simulators.machine.ek_kinds import EK_KINDS

START_TIMEOUT_S: Final = 10.0
"""swtpm answers within some 10 ms; a loaded machine gets a thousand times that."""


class TpmMaker:
    """A TPM maker's root CA and the EK certificates it issues."""

    def __init__(self, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
        self.key, self.certificate = key, certificate

    @classmethod
    def found(cls, name: str = "Simulated TPM Works") -> TpmMaker:
        """A new maker with a fresh root."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} EK Root CA")])
        return cls(
            key,
            certificate_builder(subject, subject, key.public_key(), ca=True).sign(
                key, hashes.SHA256()
            ),
        )

    @classmethod
    def load_or_found(cls, folder: Path) -> TpmMaker:
        """The maker kept in `folder`, founded there on first use (its key is 0600)."""
        if not folder.exists():
            maker = cls.found()
            pem = maker.key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
            folder.parent.mkdir(parents=True, exist_ok=True)
            staging = Path(tempfile.mkdtemp(dir=folder.parent))
            make_private(staging / "maker.key", pem)
            (staging / "maker.pem").write_bytes(maker.pem())
            with contextlib.suppress(
                OSError
            ):  # two machines switched on at once: the first one's maker is everybody's
                staging.rename(folder)
            shutil.rmtree(staging, ignore_errors=True)
        key = serialization.load_pem_private_key((folder / "maker.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        return cls(key, x509.load_pem_x509_certificate((folder / "maker.pem").read_bytes()))

    def pem(self) -> bytes:
        """The root certificate as PEM."""
        return self.certificate.public_bytes(serialization.Encoding.PEM)

    def issue(
        self,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        *,
        eku: bool = True,
        ca: bool = False,
        days: int = 3650,
    ) -> bytes:
        """DER EK certificate for `key`; the switches break it on purpose."""
        builder = certificate_builder(
            x509.Name([]), self.certificate.subject, key, ca=ca, days=days
        )
        tcg = [
            ("2.23.133.2.1", "id:46474154"),
            ("2.23.133.2.2", "simulated"),
            ("2.23.133.2.3", "id:00010000"),
        ]
        san = x509.DirectoryName(
            x509.Name([x509.NameAttribute(x509.ObjectIdentifier(o), v) for o, v in tcg])
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([san]), critical=True)
        agreement = isinstance(key, ec.EllipticCurvePublicKey)
        exchange = "key_agreement" if agreement else "key_encipherment"
        usages = (exchange, "key_cert_sign") if ca else (exchange,)
        builder = builder.add_extension(key_usage(*usages), critical=True)
        if eku:
            builder = builder.add_extension(x509.ExtendedKeyUsage([EK_USAGE]), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)

    def issue_iak(
        self, key: ec.EllipticCurvePublicKey, *, usage: x509.ObjectIdentifier = IAK_USAGE
    ) -> bytes:
        """DER IAK certificate for `key`."""
        subject = x509.Name([x509.NameAttribute(NameOID.SERIAL_NUMBER, "simulated-1")])
        builder = certificate_builder(subject, self.certificate.subject, key, ca=False)
        builder = builder.add_extension(key_usage("digital_signature"), critical=True)
        return (
            builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .sign(self.key, hashes.SHA256())
            .public_bytes(serialization.Encoding.DER)
        )


def certificate_builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    *,
    ca: bool,
    days: int = 3650,
) -> x509.CertificateBuilder:
    """To be signed: from a day ago until `days` from now; below 0 it has ended."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
    )
    builder = builder.not_valid_before(
        now - timedelta(days=1 if days > 0 else -2 * days)
    ).not_valid_after(now + timedelta(days=days))
    return builder.add_extension(x509.BasicConstraints(ca, None), critical=True)


class Swtpm:
    """One swtpm process on a Unix socket in `folder`; its state survives `stop` and `kill`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        private_folder(self.folder)
        self.socket = folder / "tpm.sock"
        if len(str(self.socket)) > 100:
            raise ValueError(
                f"Unix socket paths have at most 107 bytes, choose a shorter folder than {folder}"
            )
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def tcti(self) -> str:
        """The TCTI string for tpm2-pytss."""
        return f"swtpm:path={self.socket}"

    def start(self) -> None:
        """Power on: TPM2_Startup(CLEAR). Returns once the socket is there."""
        for path in (self.socket, Path(f"{self.socket}.ctrl")):
            path.unlink(missing_ok=True)
        state = private_folder(self.folder / "state")
        argv = [
            "swtpm",
            "socket",
            "--tpm2",
            "--tpmstate",
            f"dir={state}",
            "--server",
            f"type=unixio,path={self.socket}",
        ]
        argv += [
            "--ctrl",
            f"type=unixio,path={self.socket}.ctrl",
            "--flags",
            "not-need-init,startup-clear",
        ]
        self.process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        deadline = time.monotonic() + START_TIMEOUT_S
        while not (self.socket.exists() and Path(f"{self.socket}.ctrl").exists()):
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    f"swtpm did not start in {self.folder}; is the Debian package swtpm installed?"
                )
            time.sleep(0.002)

    @contextlib.contextmanager
    def esys(self) -> Iterator[Any]:
        """An ESAPI connection; no other may be open."""
        esys = self._connected()
        try:
            yield esys
        finally:
            esys.close()

    def _connected(self) -> Any:
        """A connection; a socket that is bound and does not listen yet, on a busy machine, is tried
        again.
        """
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                return tss.ESAPI(self.tcti)
            except tss.TSS2_Exception:
                if (
                    self.process is None
                    or self.process.poll() is not None
                    or time.monotonic() > deadline
                ):
                    raise
                time.sleep(0.005)

    def stop(self, *, save_state: bool = False) -> None:
        """Orderly power off; `save_state` sends Shutdown(STATE), so that the next start is a TPM
        Restart.
        """
        if self.process is None:
            return
        with contextlib.suppress(tss.TSS2_Exception), self.esys() as esys:
            esys.shutdown(tss.TPM2_SU.STATE if save_state else tss.TPM2_SU.CLEAR)
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Power cut: no Shutdown command."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait()
            self.process = None


IAK_HANDLE, IAK_NV = 0x81020000, 0x01C90000


def manufacture_iak(swtpm: Swtpm, maker: TpmMaker) -> bytes:
    """Give a running `swtpm` an IAK with the maker's certificate, as makers of network equipment
    do; returns the DER.
    """
    template = marshal_public(
        attributes=AK_ATTRS,
        curve=Curve.NIST_P256,
        x=b"iak".ljust(32, b"\0"),
        y=b"\0" * 32,
        scheme=(Alg.ECDSA, Alg.SHA256),
    )
    with swtpm.esys() as esys:
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        handle, primary, *_ = esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), public, tss.ESYS_TR.ENDORSEMENT
        )
        key = parse_public(bytes(primary.publicArea.marshal())).key()
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise TypeError("the IAK's template is of an ECC key")
        certificate = maker.issue_iak(key)
        esys.evict_control(tss.ESYS_TR.OWNER, handle, IAK_HANDLE)
        esys.flush_context(handle)
        nv_store(esys, IAK_NV, certificate)
    return certificate


def manufacture(swtpm: Swtpm, maker: TpmMaker, kind: str = "p256") -> bytes:
    """Give a running `swtpm` its EK certificate of `kind` (`EK_KINDS`) in NV, as a maker does
    before delivery; returns the DER.
    """
    index = EK_KINDS[kind]
    template = EK_TEMPLATES[index][1]
    with swtpm.esys() as esys:
        public = tss.TPM2B_PUBLIC(publicArea=tss.TPMT_PUBLIC.unmarshal(template)[0])
        handle, primary, *_ = esys.create_primary(
            tss.TPM2B_SENSITIVE_CREATE(), public, tss.ESYS_TR.ENDORSEMENT
        )
        certificate = maker.issue(parse_public(bytes(primary.publicArea.marshal())).key())
        esys.flush_context(handle)
        nv_store(esys, index, certificate)
    return certificate


def nv_store(esys: Any, index: int, content: bytes) -> None:
    """Write `content` to a new NV index, for good and for everybody to read."""
    nv = tss.TPMA_NV
    flags = (
        nv.PPWRITE
        | nv.WRITEDEFINE
        | nv.PPREAD
        | nv.OWNERREAD
        | nv.AUTHREAD
        | nv.NO_DA
        | nv.PLATFORMCREATE
    )
    area = tss.TPMS_NV_PUBLIC(
        nvIndex=index, nameAlg=tss.TPM2_ALG.SHA256, dataSize=len(content), attributes=flags
    )
    handle = esys.nv_define_space(
        b"", tss.TPM2B_NV_PUBLIC(nvPublic=area), auth_handle=tss.ESYS_TR.PLATFORM
    )
    for at in range(0, len(content), 512):
        esys.nv_write(handle, content[at : at + 512], at, auth_handle=tss.ESYS_TR.PLATFORM)
    esys.nv_write_lock(handle, auth_handle=tss.ESYS_TR.PLATFORM)
