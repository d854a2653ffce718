"""Every certificate that the fleet's CAs make, as Go reads it: by Go's own crypto/x509 where there
is a Go toolchain, and by its rules beyond RFC 5280, each by name, everywhere.
"""

import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, ExtensionOID, NameOID

from support.issued import CALLS, KINDS, SERVES, Issued
from support.paths import ROOT

GO_LIMIT_S = 300.0
"""The first build on a machine compiles Go's library too."""
NOT_CRITICAL = {
    ExtensionOID.SUBJECT_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_KEY_IDENTIFIER,
    ExtensionOID.AUTHORITY_INFORMATION_ACCESS,
}
HANDLED = {
    ExtensionOID.BASIC_CONSTRAINTS,
    ExtensionOID.KEY_USAGE,
    ExtensionOID.EXTENDED_KEY_USAGE,
    ExtensionOID.SUBJECT_ALTERNATIVE_NAME,
    ExtensionOID.NAME_CONSTRAINTS,
    ExtensionOID.CERTIFICATE_POLICIES,
}
"""What crypto/x509 knows when it is critical; anything else critical is an error."""
CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)


def usage_of(kind: str) -> tuple[str, str]:
    """(usage, host) that Go is asked for."""
    if kind in SERVES:
        return "server", SERVES[kind]
    return ("client", "-") if kind in CALLS else ("any", "-")


def line(folder: Path, name: str, one: Issued, root: x509.Certificate, usage: str, host: str):
    """What the program reads for one certificate, whose files are written."""
    paths = []
    for part, certificate in (("leaf", one.certificate), ("above", one.above), ("root", root)):
        path = folder / f"{name.replace(' ', '-')}.{part}"
        if certificate is not None:
            path.write_bytes(certificate.public_bytes(Encoding.PEM))
        paths.append(str(path) if certificate is not None else "-")
    return "\t".join((name, *paths, usage, host))


def forged(keys, **wrong) -> x509.Certificate:
    """A server's certificate under the root, which is as it should be but for one thing."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    root = keys.root
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "forged.example")])
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(wrong.get("issuer", root.certificate.subject))
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + wrong.get("life", timedelta(minutes=5)))
        .add_extension(x509.ExtendedKeyUsage([wrong.get("use", SERVER)]), critical=False)
    )
    if wrong.get("san", True):
        names = x509.SubjectAlternativeName([x509.DNSName("forged.example")])
        built = built.add_extension(names, critical=False)
    if "unknown" in wrong:
        strange = x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.9.9"), b"\5\0")
        built = built.add_extension(strange, critical=wrong["unknown"])
    return built.sign(wrong.get("by", root.key), hashes.SHA256())


SERVER = ExtendedKeyUsageOID.SERVER_AUTH
FORGED = {
    "good": ({}, "ok"),
    "unknown extension": ({"unknown": False}, "ok"),
    "critical unknown extension": ({"unknown": True}, "unhandled critical extension"),
    "name in the subject alone": ({"san": False}, "legacy Common Name field"),
    "another use": ({"use": ExtendedKeyUsageOID.CLIENT_AUTH}, "incompatible key usage"),
    "over": ({"life": timedelta(minutes=-1)}, "expired"),
    "another key": ({"by": ec.generate_private_key(ec.SECP256R1())}, "unknown authority"),
}
"""What Go accepts and refuses, in its words: else the test below would say nothing."""


@pytest.fixture(scope="module")
def go_says(keys, every, tmp_path_factory) -> dict[str, str]:
    """What Go says of each certificate, by name."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("NOT TESTED BY GO ITSELF: no Go toolchain here (apt-get install golang-go)")
    folder = tmp_path_factory.mktemp("go")
    root = keys.root.certificate
    lines = [line(folder, "root", Issued(root), root, "any", "-")]
    lines += [line(folder, k, every[k], root, *usage_of(k)) for k in KINDS]
    for name, (wrong, _) in FORGED.items():
        made = Issued(forged(keys, **wrong))
        lines.append(line(folder, f"forged {name}", made, root, "server", "forged.example"))
    cache = ROOT / "build" / "go"
    settings = {
        "GOCACHE": str(cache),
        "GOFLAGS": "-mod=mod",
        "GO111MODULE": "off",
        "GOPROXY": "off",
    }
    done = subprocess.run(
        [go, "run", str(ROOT / "tests/support/go_x509/main.go")],
        input="\n".join(lines),
        capture_output=True,
        text=True,
        timeout=GO_LIMIT_S,
        check=False,
        env={**os.environ, **settings},
    )
    assert done.returncode == 0, done.stderr
    return dict(said.split("\t", 1) for said in done.stdout.splitlines())


@pytest.mark.parametrize("kind", ["root", *KINDS])
def test_go_verifies_it(go_says, kind):
    assert go_says[kind] == "ok"


@pytest.mark.parametrize("name", FORGED)
def test_go_refuses_what_it_should(go_says, name):
    said = go_says[f"forged {name}"]
    assert FORGED[name][1] in said, said


# the same rules, without Go


def _serial(one, _issuer):
    """Positive and of at most 20 octets (Go 1.23: a negative one does not parse)."""
    assert 0 < one.serial_number < 1 << 159


def _version(one, _issuer):
    """Version 3, as it has extensions; a CA of version 1 is none."""
    assert one.version == x509.Version.v3


def _extensions(one, _issuer):
    """None twice, none critical that Go does not know, and none critical that must not be."""
    oids = [e.oid for e in one.extensions]
    assert len(oids) == len(set(oids))
    critical = {e.oid for e in one.extensions if e.critical}
    assert critical <= HANDLED and not critical & NOT_CRITICAL


def _signature(one, _issuer):
    """SHA-2 over ECDSA: SHA-1 and MD5 are refused since Go 1.18."""
    assert one.signature_hash_algorithm.name in {"sha256", "sha384", "sha512"}
    assert isinstance(one.public_key().curve, CURVES)


def _usages(one, _issuer):
    """Usages in parts below 2^31: encoding/asn1 reads no larger ones."""
    try:
        usages = one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return
    parts = [int(part) for o in usages for part in o.dotted_string.split(".")]
    assert max(parts) < 1 << 31


def _names(one, issuer):
    """The issuer's name is the CA's subject, octet for octet: Go compares bytes."""
    assert one.issuer.public_bytes() == issuer.subject.public_bytes()
    assert list(one.subject), "a leaf without a subject needs a critical alternative name"


def _issuer_may_sign(_one, issuer):
    """The CA says that it is one, that its key signs certificates, and how deep."""
    constraints = issuer.extensions.get_extension_for_class(x509.BasicConstraints)
    usage = issuer.extensions.get_extension_for_class(x509.KeyUsage)
    assert constraints.value.ca and usage.value.key_cert_sign


def _depth(one, issuer):
    """No more CAs below one than its path length says."""
    limit = issuer.extensions.get_extension_for_class(x509.BasicConstraints).value.path_length
    below = one.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    assert limit is None or not below or limit >= 1 or one == issuer


def _usages_nest(one, issuer):
    """A CA that lists usages lists those of what it signs: Go asks that of the whole chain."""
    try:
        limits = set(issuer.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        return
    asked = set(one.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    assert asked <= limits


def _alternative_names(one, _issuer):
    """DNS names that are host names, in ASCII; URIs with a host that is one; no other kinds."""
    try:
        names = one.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return
    assert all(isinstance(n, x509.DNSName | x509.UniformResourceIdentifier) for n in names)
    for name in names.get_values_for_type(x509.DNSName):
        assert (
            name.isascii()
            and not name.endswith(".")
            and "_" not in name
            and all(0 < len(label) <= 63 for label in name.split("."))
        )


def _times(one, issuer):
    """It ends after it begins, in whole seconds, and no later than its CA does."""
    assert one.not_valid_before_utc < one.not_valid_after_utc
    assert one.not_valid_after_utc <= issuer.not_valid_after_utc


RULES = (
    _serial,
    _version,
    _extensions,
    _signature,
    _usages,
    _names,
    _issuer_may_sign,
    _depth,
    _usages_nest,
    _alternative_names,
    _times,
)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__.strip("_"))
@pytest.mark.parametrize("kind", ["root", *KINDS])
def test_it_holds_gos_rules(keys, every, kind, rule):
    root = keys.root.certificate
    one = Issued(root) if kind == "root" else every[kind]
    rule(one.certificate, one.above or root)


def test_a_name_of_a_server_stands_in_its_alternative_names(every):
    """Go does not read the common name at all."""
    for kind, host in SERVES.items():
        names = every[kind].certificate.extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        assert host in names.value.get_values_for_type(x509.DNSName)
