"""802.1X at a port of the simulated network: hostapd beside the bridge, wpa_supplicant at a host,
certificates of an admission CA, and a key that a software TPM keeps, by way of PKCS #11.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_der_public_key
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from framegate.identity.pem import private_pem
from framegate_simulators.plant.namespaces import ROUTER, Network
from framegate_simulators.plant.processes import answers, free_port, wait_for

PATIENCE_S: Final = 60.0
_PATH: Final = "/usr/sbin:/sbin:/usr/bin:/bin"
_ENGINE: Final = Path("/usr/lib/x86_64-linux-gnu/engines-3/pkcs11.so")
_MODULE: Final = Path("/usr/lib/x86_64-linux-gnu/pkcs11/libtpm2_pkcs11.so")
_TCTI: Final = Path("/usr/lib/x86_64-linux-gnu/libtss2-tcti-tabrmd.so.0")
PACKAGES: Final = "hostapd wpasupplicant"
TPM_PACKAGES: Final = (
    "swtpm tpm2-abrmd libtss2-tcti-tabrmd0 libtpm2-pkcs11-1 libtpm2-pkcs11-tools tpm2-tools"
    " libengine-pkcs11-openssl opensc dbus"
)
_EAPOL: Final = 0x888E
_PAE_GROUP: Final = bytes.fromhex("0180c2000003")
"""The group address of 802.1X port access entities (IEEE 802.1X-2020, table 11-1)."""
_PIN: Final = "1234"
_LABEL: Final = "dot1x"


def missing(*, tpm: bool = False) -> str:
    """Why 802.1X cannot be tried here; empty where it can."""
    programs = ["hostapd", "wpa_supplicant"]
    files: list[Path] = []
    if tpm:
        programs += ["swtpm", "tpm2-abrmd", "tpm2_ptool", "pkcs11-tool", "dbus-daemon"]
        files = [_ENGINE, _MODULE, _TCTI]
    absent = [p for p in programs if shutil.which(p, path=_PATH) is None]
    absent += [str(f) for f in files if not f.exists()]
    packages = TPM_PACKAGES if tpm else PACKAGES
    return f"needs {', '.join(absent)}: apt-get install {packages}" if absent else ""


@dataclass
class AdmissionCa:
    """A CA of the plant's for 802.1X: none of the fleet's, for it admits to the join port alone."""

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(
        default_factory=lambda: ec.generate_private_key(ec.SECP256R1())
    )

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "admission")])
        made = (
            self._builder(self._name, self.key.public_key())
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .sign(self.key, hashes.SHA256())
        )
        self.file.write_bytes(made.public_bytes(Encoding.PEM))
        self.issue("authenticator", server=True)

    @property
    def file(self) -> Path:
        """Its certificate."""
        return self.folder / "ca.pem"

    def issue(
        self, name: str, public: ec.EllipticCurvePublicKey | None = None, *, server: bool = False
    ) -> Path:
        """A certificate for `name`, of `public` or a new key in a file beside it."""
        if public is None:
            key = ec.generate_private_key(ec.SECP256R1())
            (self.folder / f"{name}.key").write_bytes(private_pem(key))
            public = key.public_key()
        use = ExtendedKeyUsageOID.SERVER_AUTH if server else ExtendedKeyUsageOID.CLIENT_AUTH
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        made = (
            self._builder(subject, public)
            .add_extension(x509.ExtendedKeyUsage([use]), critical=False)
            .sign(self.key, hashes.SHA256())
        )
        file = self.folder / f"{name}.pem"
        file.write_bytes(made.public_bytes(Encoding.PEM))
        return file

    def _builder(
        self, subject: x509.Name, public: ec.EllipticCurvePublicKey
    ) -> x509.CertificateBuilder:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
        )


class Programs:
    """Programs that were started here, and end here; what they said is in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)

    def start(
        self, name: str, *argv: object, environment: Mapping[str, str] | None = None
    ) -> subprocess.Popen[bytes]:
        """Start one; its output goes into `folder`."""
        with (self.folder / f"{name}.log").open("wb") as log:
            program = subprocess.Popen(
                list(map(str, argv)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PATH": _PATH, **(environment or {})},
            )
        self._running.append(program)
        return program

    def stop(self, program: subprocess.Popen[bytes]) -> None:
        """End one."""
        program.terminate()
        with suppress(subprocess.TimeoutExpired):
            program.wait(5)
        program.kill()
        program.wait()

    def close(self) -> None:
        """End them all, the latest first."""
        while self._running:
            self.stop(self._running.pop())


def start_hostapd(
    programs: Programs,
    network: Network,
    ports: Sequence[str],
    ca: AdmissionCa,
    extra: Sequence[str] = (),
) -> Path:
    """hostapd for ports of the router, one process each; the folder of its control sockets."""
    control = programs.folder / "hostapd"
    (programs.folder / "eap_users").write_text("* TLS\n")
    for port in ports:
        lines = (
            f"interface={port}",
            "driver=wired",
            f"ctrl_interface={control}",
            "ieee8021x=1",
            "use_pae_group_addr=1",
            "eap_reauth_period=30",
            "eap_server=1",
            f"eap_user_file={programs.folder / 'eap_users'}",
            f"ca_cert={ca.file}",
            f"server_cert={ca.folder / 'authenticator.pem'}",
            f"private_key={ca.folder / 'authenticator.key'}",
            *extra,
        )
        file = programs.folder / f"hostapd-{port}.conf"
        file.write_text("\n".join(lines) + "\n")
        inside = ("ip", "netns", "exec", network.name(ROUTER))
        programs.start(f"hostapd-{port}", *inside, "hostapd", file)
        wait_for(f"hostapd at {port}", (control / port).exists, PATIENCE_S)
    return control


@dataclass(frozen=True, slots=True)
class Claim:
    """What a supplicant shows: the identity it claims, and a certificate with its key, in a file or
    in a token.
    """

    identity: str
    certificate: Path
    key: Path | None = None
    token: TpmToken | None = None


def start_supplicant(
    programs: Programs, network: Network, host: str, ca: Path, claim: Claim
) -> subprocess.Popen[bytes]:
    """wpa_supplicant at a host. It begins after two seconds, or once `eapol_start` asked for it."""
    lines = [
        "ap_scan=0",
        f"pkcs11_engine_path={_ENGINE}" if claim.token else "",
        f"pkcs11_module_path={_MODULE}" if claim.token else "",
        "network={",
        " key_mgmt=IEEE8021X",
        " eap=TLS",
        " eapol_flags=0",
        f' identity="{claim.identity}"',
        f' ca_cert="{ca}"',
        f' client_cert="{claim.certificate}"',
    ]
    environment: Mapping[str, str] = {}
    if claim.token is not None:
        environment = claim.token.environment
        key = f"pkcs11:token={_LABEL};object={_LABEL};type=private"
        lines += [" engine=1", ' engine_id="pkcs11"', f' key_id="{key}"', f' pin="{_PIN}"']
    else:
        lines.append(f' private_key="{claim.key or claim.certificate.with_suffix(".key")}"')
    file = programs.folder / f"wpa-{host}.conf"
    file.write_text("\n".join([*filter(None, lines), "}"]) + "\n")
    inside = ("ip", "netns", "exec", network.name(host))
    argv = ("wpa_supplicant", "-D", "wired", "-i", "eth0", "-c", file)
    return programs.start(f"wpa-{host}", *inside, *argv, environment=environment)


def eapol_start(network: Network, host: str) -> None:
    """Ask the authenticator to begin (IEEE 802.1X-2020, 11.3: EAPOL-Start)."""
    with network.at(host):
        wire = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    with wire:
        wire.bind(("eth0", 0))
        own = bytes.fromhex(network.wires[host].mac.replace(":", ""))
        frame = _PAE_GROUP + own + _EAPOL.to_bytes(2, "big") + bytes([2, 1, 0, 0])
        wire.send(frame.ljust(60, b"\0"))


class TpmToken:
    """A key that a software TPM made and keeps, as a PKCS #11 token (tpm2-pkcs11). A resource
    manager stands before it, as /dev/tpmrm0 does on hardware. Raises PlantError.
    """

    def __init__(self, programs: Programs) -> None:
        folder = programs.folder / "tpm"
        store, bus = folder / "store", folder / "bus"
        store.mkdir(parents=True)
        (folder / "state").mkdir()
        port = _free_pair()
        programs.start(
            "swtpm",
            *("swtpm", "socket", "--tpm2", "--tpmstate", f"dir={folder / 'state'}"),
            *("--server", f"type=tcp,port={port},bindaddr=127.0.0.1"),
            *("--ctrl", f"type=tcp,port={port + 1},bindaddr=127.0.0.1"),
            *("--flags", "not-need-init,startup-clear"),
        )
        wait_for("the software TPM", lambda: answers(port + 1), PATIENCE_S)
        address = f"unix:path={bus}"
        bus_argv = ("--session", f"--address={address}", "--nofork", "--nopidfile")
        programs.start("dbus", "dbus-daemon", *bus_argv)
        wait_for("a bus of its own", bus.exists, PATIENCE_S)
        self.environment: Mapping[str, str] = {
            "DBUS_SESSION_BUS_ADDRESS": address,
            "TPM2_PKCS11_TCTI": "tabrmd:bus_type=session",
            "TPM2TOOLS_TCTI": "tabrmd:bus_type=session",
            "TPM2_PKCS11_STORE": str(store),
            "TPM2_PKCS11_LOG_LEVEL": "0",
            "TSS2_LOG": "all+NONE",
        }
        tcti = f"--tcti=swtpm:host=127.0.0.1,port={port}"
        argv = ("tpm2-abrmd", "--session", "--allow-root", tcti)
        programs.start("abrmd", *argv, environment=self.environment)
        wait_for("the resource manager", self._answers, PATIENCE_S, every_s=0.2)
        token = ("--pid=1", f"--label={_LABEL}", f"--userpin={_PIN}", "--sopin=5678")
        key = (f"--label={_LABEL}", f"--userpin={_PIN}", "--algorithm=ecc256")
        self._run("tpm2_ptool", "init", "--path", store)
        self._run("tpm2_ptool", "addtoken", *token, "--path", store)
        self._run("tpm2_ptool", "addkey", *key, f"--key-label={_LABEL}", "--path", store)
        der = folder / "public.der"
        self._run(
            *("pkcs11-tool", "--module", _MODULE, "--token-label", _LABEL, "--login"),
            *("--pin", _PIN, "--read-object", "--type", "pubkey", "--label", _LABEL, "-o", der),
        )
        public = load_der_public_key(der.read_bytes())
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise TypeError("the token's key is none of P-256")
        self.public = public

    def _answers(self) -> bool:
        return self._call("tpm2_getcap", "properties-fixed").returncode == 0

    def _run(self, *argv: object) -> None:
        done = self._call(*argv)
        if done.returncode:
            raise RuntimeError(f"{argv[0]}: {done.stderr.decode(errors='replace')[-300:]}")

    def _call(self, *argv: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            list(map(str, argv)),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=PATIENCE_S,
            env={**os.environ, "PATH": _PATH, **self.environment},
        )


def _free_pair() -> int:
    """A free port whose next one is free as well: libtss2 asks a TPM's controls there."""
    while True:
        port = free_port()
        with socket.socket() as beside, suppress(OSError, OverflowError):
            beside.bind(("127.0.0.1", port + 1))
            return port
