"""`framegate evidence verify` on real quotes of other tools."""

import base64
import json
import struct
from pathlib import Path

from support.evidence_command import reasons, run_evidence

# ---- real quotes of other tools


def quote(
    folder: Path,
    tmp_path: Path,
    ak: bytes,
    attest: bytes,
    signature: bytes,
    nonce: bytes,
    **more: bytes,
):
    named = {"ak": ak, "attest": attest, "signature": signature, **more}
    for name, data in named.items():
        (tmp_path / name).write_bytes(data)
    return run_evidence(
        "verify",
        *[x for name in named for x in (f"--{name.replace('_', '-')}", tmp_path / name)],
        "--nonce",
        nonce.hex(),
    )


def test_a_real_quote_with_an_ak_certificate(real_data, tmp_path):
    folder = real_data / "attestation" / "cmc" / "quote"
    ak, message, signature, bad = (
        (folder / n).read_bytes() for n in ("ak.pem", "quote.msg", "quote.sig", "quote.sig-bad")
    )
    good = bytes.fromhex("db6c3c042fa12645")
    assert quote(folder, tmp_path, ak, message, signature, good)[0] == 0
    assert reasons(quote(folder, tmp_path, ak, message, bad, good)[1]) == {"signature"}
    assert reasons(
        quote(folder, tmp_path, ak, message, signature, bytes.fromhex("6db48f3e33c9792a"))[1]
    ) == {"extra-data"}


def test_a_real_quote_of_keylime(real_data, tmp_path):
    folder = real_data / "attestation" / "keylime" / "quote1"
    ak, message, signature = (
        (folder / n).read_bytes() for n in ("aik.pem", "quote.msg", "quote.sig")
    )
    assert quote(folder, tmp_path, ak, message, signature, b"Ai5M5SjYjnkyv4P7itH1")[0] == 0
    spoiled = bytearray(message)
    spoiled[5] ^= 1
    assert quote(folder, tmp_path, ak, bytes(spoiled), signature, b"Ai5M5SjYjnkyv4P7itH1")[0] == 6
    assert quote(folder, tmp_path, ak, message, signature, b"Bi5M5SjYjnkyv4P7itH1")[0] == 6


def test_a_real_quote_of_a_confidential_vm(real_data, tmp_path):
    folder = real_data / "attestation" / "azure-cvm-tooling"
    raw, parts, at = (folder / "quote.bin").read_bytes(), [], 0
    for _ in range(2):
        (size,) = struct.unpack_from("<Q", raw, at)
        parts.append(raw[at + 8 : at + 8 + size])
        at += 8 + size
    signature, message = parts
    values = [raw[at:][-32 * 24 :][32 * n : 32 * (n + 1)] for n in range(24)]
    ak = (folder / "akpub.pem").read_bytes()
    code, body = quote(folder, tmp_path, ak, message, signature, b"challenge")
    assert code == 0, body
    assert quote(folder, tmp_path, ak, message, signature[::-1], b"challenge")[0] == 6
    assert reasons(quote(folder, tmp_path, ak, message, signature, b"\1\2\3\4")[1]) == {
        "extra-data"
    }
    pcrs = json.dumps({"sha256": {str(n): v.hex() for n, v in enumerate(values)}}).encode()
    code, body = quote(folder, tmp_path, ak, message, signature, b"challenge", pcrs=pcrs)
    assert code == 0 and "PCR values" in body["checked"], body


def test_a_real_quote_with_pcrs(real_data, tmp_path):
    body = json.loads(
        (real_data / "attestation" / "trustee" / "az-snp-vtpm" / "tpm-quote-v1.json").read_text()
    )
    report = (real_data / "attestation" / "trustee" / "az-snp-vtpm" / "hcl-report.bin").read_bytes()
    start = report.index(b'{"keys"')
    runtime = json.loads(report[start : report.index(b"\0", start)])
    jwk = next(k for k in runtime["keys"] if k["kid"] == "HCLAkPub")
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    def number(text: str) -> int:
        return int.from_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)), "big")

    ak = (
        RSAPublicNumbers(number(jwk["e"]), number(jwk["n"]))
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    )
    signature, message = bytes.fromhex(body["signature"]), bytes.fromhex(body["message"])
    pcrs = json.dumps({"sha256": dict(enumerate(body["pcrs"]))}).encode()
    code, report_ = quote(tmp_path, tmp_path, ak, message, signature, b"challenge", pcrs=pcrs)
    assert code == 0, report_
    assert (
        quote(
            tmp_path, tmp_path, ak, message, bytes([signature[0] ^ 1]) + signature[1:], b"challenge"
        )[0]
        == 6
    )
