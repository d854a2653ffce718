"""`framegate evidence show`: what a file of evidence holds, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import FramegateError, Malformed, Reason
from framegate.eventlog import parse_boot_log, structural_failures
from framegate.eventlog.describe import bank_names, event_rows
from framegate.evidence.quote_files import key_words, load_ak, load_attest
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import load_maker_certificate
from framegate.ima import parse_ima
from framegate.profile.model import parse_profile
from framegate.profile.review import explain
from framegate.tpm.attest import parse_signature
from framegate.tpm.constants import HASH_NAME, TPM_GENERATED, Alg, St
from framegate.tpm.public import require_ek
from framegate.wire import sha256
from framegate_host.console import EXIT_FAILED, show_json, talk
from framegate_operator.evidence_files import looks_like_ima, read_file
from framegate_operator.options import Output
from framegate_operator.output import show_table


def show(
    file: Annotated[
        Path,
        typer.Argument(
            help="A TPM structure, boot log, IMA list, EK certificate or firmware profile."
        ),
    ],
    output: Output = "table",
) -> None:
    """Say in words what a file of evidence holds. Believes nothing: `verify` and `replay` do the
    checking.
    """
    raw, tried = read_file(file), []
    readers = (_ima, _public, _attest, _signature, _certificate, _profile, _boot_log)
    for reader in readers:
        try:
            shown = reader(raw)
        except (FramegateError, *UNREADABLE) as error:
            tried.append(
                (
                    reader.__name__.strip("_").replace("_", " "),
                    error.failures[0] if isinstance(error, FramegateError) else error,
                )
            )
            continue
        if output == "json":
            show_json(
                {
                    "kind": shown.kind,
                    **shown.facts,
                    "rows": [dict(zip(shown.columns, r, strict=True)) for r in shown.rows],
                }
            )
            return
        talk.print(shown.kind)
        show_table(
            ("", ""),
            [(k, v if isinstance(v, str) else str(v)) for k, v in shown.facts.items()],
            empty="",
        )
        if shown.rows:
            show_table(shown.columns, shown.rows, empty="")
        return
    if output == "json":
        show_json(
            {"kind": "unknown", "tried": [{"as": what, "problem": str(why)} for what, why in tried]}
        )
    else:
        talk.print("This is nothing that Framegate knows. Read as:")
        show_table(("as", "problem"), tried, empty="")
    raise typer.Exit(EXIT_FAILED)


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a file is, facts about it, and what it lists: rows under columns."""

    kind: str
    facts: Mapping[str, Any]
    columns: tuple[str, ...] = ()
    rows: Sequence[tuple[Any, ...]] = ()


def _ima(raw: bytes) -> _Shown:
    if not looks_like_ima(raw):
        raise Malformed.of(Reason.IMA_MALFORMED, "a template name behind the hash", "none")
    ima_list = parse_ima(raw)
    rows: list[tuple[Any, ...]] = [
        (
            n,
            e.template,
            f"{e.algorithm}:{e.digest.hex()}",
            "violation" if e.violation else "signed" if e.signature else "",
            e.path.decode(errors="backslashreplace"),
        )
        for n, e in enumerate(ima_list.entries)
    ]
    facts = {
        "entries": len(rows),
        "template hashes": ima_list.width.name.lower(),
        "violations": sum(e.violation for e in ima_list.entries),
    }
    return _Shown("IMA measurement list", facts, ("#", "template", "digest", "", "path"), rows)


def _public(raw: bytes) -> _Shown:
    key = load_ak(raw)
    if key.public is None:
        raise Malformed.of(Reason.MALFORMED, "a TPM public area", key.form)
    public = key.public
    try:
        require_ek(public)
        role = "an endorsement key by a TCG template"
    except FramegateError:
        role = "no TCG endorsement key"
    scheme = "-".join(a.name for a in public.scheme) if public.scheme else "none"
    facts = {
        "key": key_words(key),
        "name": public.name.hex(),
        "scheme": scheme,
        "authPolicy": public.auth_policy.hex() or "none",
        "is": role,
        "EK hash": sha256(public.spki()).hex(),
    }
    return _Shown(f"TPM key ({key.form})", facts)


def _attest(raw: bytes) -> _Shown:
    statement = load_attest(raw)
    if statement.magic != TPM_GENERATED:
        raise Malformed.of(Reason.MAGIC, f"0x{TPM_GENERATED:08x}", f"0x{statement.magic:08x}")
    clock = statement.clock_info
    facts: dict[str, Any] = {
        "type": St(statement.type).name if statement.type in set(St) else f"0x{statement.type:04x}",
        "extraData": statement.extra_data.hex() or "none",
        "qualifiedSigner": statement.qualified_signer.hex(),
        "clock": f"{clock.clock} ms, reset {clock.reset_count}, restart {clock.restart_count}, "
        f"{'safe' if clock.safe else 'not safe'}",
        "TPM firmware": f"{statement.firmware_version:016x}",
    }
    if statement.type == St.ATTEST_QUOTE:
        facts |= {
            "PCRs": " + ".join(
                f"{s.bank.name.lower()}:{','.join(map(str, s.pcrs))}" for s in statement.selections
            )
            or "none",
            "pcrDigest": statement.pcr_digest.hex(),
        }
    if statement.type == St.ATTEST_CERTIFY:
        facts |= {
            "name": statement.name.hex(),
            "qualified name": statement.certified_qualified_name.hex(),
        }
    return _Shown("TPM attestation", facts)


def _signature(raw: bytes) -> _Shown:
    signature = parse_signature(raw)
    value = (
        f"r {signature.r:x}, s {signature.s:x}"
        if signature.scheme == Alg.ECDSA
        else signature.value.hex()
    )
    return _Shown(
        "TPM signature",
        {"scheme": signature.scheme.name, "hash": signature.hash.name, "value": value},
    )


def _certificate(raw: bytes) -> _Shown:
    notes: tuple[str, ...] = ()
    if b"-----BEGIN CERTIFICATE" in raw:
        certificate = x509.load_pem_x509_certificate(raw)
    else:
        repaired = load_maker_certificate(raw)
        certificate, notes = repaired.certificate, repaired.notes
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    usages = [u.dotted_string for u in _extension(certificate, x509.ExtendedKeyUsage) or ()]
    names = [
        v.rfc4514_string()
        for v in (_extension(certificate, x509.SubjectAlternativeName) or ())
        if isinstance(v, x509.Name)
    ]
    facts = {
        "subject": certificate.subject.rfc4514_string() or "empty",
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "valid": f"{certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}",
        "usages": ", ".join(usages) or "none",
        "TPM": "; ".join(names) or "not named",
        "EK hash": sha256(key).hex(),
        "put right": ", ".join(notes) or "nothing",
    }
    return _Shown("certificate", facts)


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _profile(raw: bytes) -> _Shown:
    profile = parse_profile(raw)
    return _Shown(
        "firmware profile",
        {"name": profile.name, "revision": profile.revision},
        ("demands",),
        [(line,) for line in explain(profile)],
    )


def _boot_log(raw: bytes) -> _Shown:
    log = parse_boot_log(raw)
    bank = next(
        (b for b in (Alg.SHA256, Alg.SHA384, Alg.SHA512, Alg.SHA1) if b in log.banks), log.banks[0]
    )
    facts = {
        "events": len(log.events),
        "banks": ", ".join(bank_names(log)),
        "startup locality": "none" if log.startup_locality is None else str(log.startup_locality),
    }
    if bank in HASH_NAME and all(e.digests[log.column(bank)] for e in log.events):
        facts["structural findings"] = len(structural_failures(log, bank))
    rows: list[tuple[Any, ...]] = list(event_rows(log, bank))
    return _Shown(
        "boot log",
        facts,
        ("#", "PCR", "type", HASH_NAME.get(bank, bank.name), "seems to be"),
        rows,
    )
