"""`framegate evidence show`: what a file of evidence holds, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, NamedTuple

import tomli_w
import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import FramegateError, Malformed, Reason
from framegate.eventlog import parse_boot_log, structural_failures
from framegate.eventlog.describe import bank_names, event_rows
from framegate.evidence.pcr_files import parse_pcr_file
from framegate.evidence.quote_files import key_words, load_ak, load_attest
from framegate.identity.certificate_file import load_certificate_file
from framegate.identity.certificates import UNREADABLE
from framegate.identity.tpm_name import tpm_name
from framegate.ima import looks_like_ima, parse_ima
from framegate.ima.allowlist import ANYWHERE, AllowedFile, parse_allowlist
from framegate.ima.checksums import parse_checksums
from framegate.profile.model import PROFILE_TYPE, parse_profile
from framegate.profile.review import explain
from framegate.signed.dsse import parse_envelope
from framegate.tpm.attest import parse_signature
from framegate.tpm.constants import HASH_NAME, TPM_GENERATED, Alg, St
from framegate.tpm.public import require_ek
from framegate.wire import sha256
from framegate_host.console import EXIT_FAILED, safe, show_json, talk
from framegate_operator.evidence_files import read_file
from framegate_operator.evidence_kinds import Kind, Likely, likely
from framegate_operator.evidence_others import named_report
from framegate_operator.options import Output
from framegate_operator.output import show_table
from framegate_operator.reference_values import from_corim, is_comid, is_corim


def show(
    file: Annotated[
        Path,
        typer.Argument(
            help="A TPM structure, boot log, IMA list, EK certificate, PCR values, allowlist, CoRIM"
            " or firmware profile."
        ),
    ],
    output: Output = "table",
) -> None:
    """Say in words what a file of evidence holds: first what it most likely is. Believes nothing:
    `verify` and `replay` do the checking.
    """
    raw = read_file(file)
    guess = likely(raw)
    if output != "json":
        talk.print(safe(f"most likely {guess}"))
    tried: list[_Tried] = []
    for kind, reader in sorted(_READERS, key=lambda r: r[0] is not guess.kind):
        try:
            shown = reader(raw)
        except (FramegateError, *UNREADABLE) as error:
            why = error.failures[0] if isinstance(error, FramegateError) else error
            tried.append(_Tried(kind.value, str(why)))
            continue
        _tell(shown, guess, output)
        return
    if output == "json":
        show_json(
            {
                "kind": "unknown",
                "likely": str(guess),
                "tried": [{"as": t.kind, "problem": t.problem} for t in tried],
            }
        )
    else:
        _tell_unread(guess, tried)
    raise typer.Exit(EXIT_FAILED)


class _Tried(NamedTuple):
    """A reading that failed, and why."""

    kind: str
    problem: str


def _tell(shown: _Shown, guess: Likely, output: str) -> None:
    if output == "json":
        rows = [dict(zip(shown.columns, r, strict=True)) for r in shown.rows]
        show_json({"kind": shown.kind, "likely": str(guess), **shown.facts, "rows": rows})
        return
    talk.print(shown.kind)
    facts = [(k, v if isinstance(v, str) else str(v)) for k, v in shown.facts.items()]
    show_table(("", ""), facts, empty="")
    if shown.rows:
        show_table(shown.columns, shown.rows, empty="")


def _tell_unread(guess: Likely, tried: Sequence[_Tried]) -> None:
    """The likely reading's problem by itself; the others, which say little, below it."""
    first = [t for t in tried if t.kind == guess.kind.value]
    for each in first:
        talk.print(f"and cannot be read as such: {safe(each.problem)}")
    talk.print("Other readings:" if first else "This is nothing that Framegate reads. Tried as:")
    show_table(("as", "problem"), [t for t in tried if t not in first], empty="")


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
            e.pcr,
            e.template,
            f"{e.algorithm}:{e.digest.hex()}" if e.algorithm else "none",
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
    return _Shown(
        "IMA measurement list", facts, ("#", "PCR", "template", "digest", "", "path"), rows
    )


def _public(raw: bytes) -> _Shown:
    key = load_ak(raw)
    public = key.public
    if public is None and key.form.startswith("certificate"):
        raise Malformed.of(Reason.MALFORMED, "a key without a certificate", key.form)
    if public is None:
        spki = key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return _Shown(f"key ({key.form})", {"key": key_words(key), "EK hash": sha256(spki).hex()})
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
    first, *others = load_certificate_file(raw)
    certificate = first.certificate
    key = certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    usages = [u.dotted_string for u in _extension(certificate, x509.ExtendedKeyUsage) or ()]
    facts = {
        "subject": certificate.subject.rfc4514_string() or "empty",
        "issuer": certificate.issuer.rfc4514_string(),
        "serial": f"{certificate.serial_number:x}",
        "valid": f"{certificate.not_valid_before_utc:%F} to {certificate.not_valid_after_utc:%F}",
        "usages": ", ".join(usages) or "none",
        "TPM": str(tpm_name(certificate) or "not named"),
        "EK hash": sha256(key).hex(),
        "put right": ", ".join(first.notes) or "nothing",
    }
    rows = [
        (n, c.certificate.subject.rfc4514_string(), c.certificate.issuer.rfc4514_string())
        for n, c in enumerate(others, 2)
    ]
    return _Shown("certificate", facts, ("#", "subject", "issuer"), rows)


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _profile(raw: bytes) -> _Shown:
    signed = raw.lstrip()[:1] == b"{"
    profile = parse_profile(parse_envelope(raw, PROFILE_TYPE).payload if signed else raw)
    return _Shown(
        "firmware profile, signed" if signed else "firmware profile",
        {"name": profile.name, "revision": profile.revision},
        ("demands",),
        [(line,) for line in explain(profile)],
    )


def _boot_log(raw: bytes) -> _Shown:
    if report := named_report(raw):
        raise Malformed.of(Reason.BOOT_LOG_MALFORMED, "a boot log", report)
    log = parse_boot_log(raw)
    bank = next(
        (b for b in (Alg.SHA256, Alg.SHA384, Alg.SHA512, Alg.SHA1) if b in log.banks), log.banks[0]
    )
    facts: dict[str, Any] = {
        "events": len(log.events),
        "banks": ", ".join(bank_names(log)),
        "startup locality": "none" if log.startup_locality is None else str(log.startup_locality),
    }
    if log.skipped:
        facts["skipped"] = ", ".join(f"0x{d.id:04x} of {d.size} bytes" for d in log.skipped)
    if bank in HASH_NAME and all(e.digests[log.column(bank)] for e in log.events):
        facts["structural findings"] = len(structural_failures(log, bank))
    rows: list[tuple[Any, ...]] = list(event_rows(log, bank))
    return _Shown(
        "boot log",
        facts,
        ("#", "PCR", "type", HASH_NAME.get(bank, bank.name), "seems to be"),
        rows,
    )


def _pcrs(raw: bytes) -> _Shown:
    file = parse_pcr_file(raw)
    rows = [(b, p, v.hex()) for b, values in file.values.items() for p, v in sorted(values.items())]
    facts = {"form": file.form, "believe": "nothing: a quote vouches for values, or nobody does"}
    return _Shown(Kind.PCRS.value, facts, ("bank", "PCR", "value"), rows)


def _allowlist(raw: bytes) -> _Shown:
    return _files(Kind.ALLOWLIST, parse_allowlist(raw).files(), sha256(raw))


def _checksums(raw: bytes) -> _Shown:
    return _files(Kind.CHECKSUMS, parse_checksums(raw), b"")


def _files(kind: Kind, files: Iterable[AllowedFile], digest: bytes) -> _Shown:
    rows = sorted(
        (
            "any name" if f.path == ANYWHERE else f.path.decode(errors="backslashreplace"),
            f"{f.algorithm}:{f.digest.hex()}",
        )
        for f in files
    )
    if not rows:
        raise Malformed.of(Reason.ALLOWLIST, "files", "none")
    facts: dict[str, Any] = {"files": len(rows)}
    facts |= {"in a profile": f"sha256:{digest.hex()}"} if digest else {}
    return _Shown(kind.value, facts, ("path", "digest"), rows)


def _reference_values(raw: bytes) -> _Shown:
    if not is_corim(raw) and not is_comid(raw):
        raise Malformed.of(Reason.MALFORMED, "CBOR of a CoRIM or a CoMID", raw[:4].hex())
    kind = Kind.CORIM if is_corim(raw) else Kind.COMID
    profile = parse_profile(tomli_w.dumps(from_corim(raw, "shown")).encode())
    facts = {"names": profile.description, "a profile of it": "framegate profile import"}
    rows = [(r.pcr, r.name, d.hex()) for r in profile.rules for d in sorted(r.digests or ())]
    rows += [(p, "whole value", v.hex()) for p, vs in profile.pinned.items() for v in sorted(vs)]
    return _Shown(kind.value, facts, ("PCR", "what", "SHA-256"), rows)


_READERS: Final[tuple[tuple[Kind, Callable[[bytes], _Shown]], ...]] = (
    (Kind.IMA, _ima),
    (Kind.PUBLIC, _public),
    (Kind.ATTEST, _attest),
    (Kind.SIGNATURE, _signature),
    (Kind.CERTIFICATE, _certificate),
    (Kind.PROFILE, _profile),
    (Kind.BOOT_LOG, _boot_log),
    (Kind.PCRS, _pcrs),
    (Kind.ALLOWLIST, _allowlist),
    (Kind.CHECKSUMS, _checksums),
    (Kind.CORIM, _reference_values),
    (Kind.COMID, _reference_values),
)
"""How each kind is read; the likeliest is tried first."""
