"""`framegate evidence verify` and `show`: plain files as TPM tools write them, in, sentences or
JSON, out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from framegate.errors import FramegateError, Malformed, Reason
from framegate.eventlog import parse_boot_log, structural_failures
from framegate.eventlog.words import bank_names, event_rows
from framegate.evidence.offline import Report, verify_files
from framegate.evidence.quote_files import key_words, load_ak, load_attest
from framegate.identity.certificates import UNREADABLE
from framegate.identity.endorsement import load_maker_certificate
from framegate.ima import parse_ima, running_values
from framegate.ima.allowlist import parse_allowlist
from framegate.profile.model import parse_profile
from framegate.profile.review import explain
from framegate.signed.dsse import strict_json
from framegate.tpm.attest import parse_signature
from framegate.tpm.constants import BANK_BY_NAME, DIGEST_SIZE, HASH_NAME, TPM_GENERATED, Alg, St
from framegate.tpm.public import require_ek
from framegate.wire import sha256
from framegate_host.console import EXIT_FAILED, EXIT_UNTRUSTED, safe, show_failures, show_json, talk
from framegate_operator.options import Output
from framegate_operator.output import data, errors, failure_json, show_table

MAX_READ: Final = 64 * 1024 * 1024
"""No file of evidence is larger: an IMA list of 200,000 entries has some 25 MiB."""


def read_file(path: Path) -> bytes:
    """The file's bytes, at most `MAX_READ`. Ends the command with a sentence where it cannot be
    read.
    """
    with errors():
        try:
            with path.open("rb") as file:
                return file.read(MAX_READ + 1)
        except OSError as error:
            raise Malformed.of(
                Reason.USAGE, f"a readable file {path}", error.strerror or error
            ) from error


def looks_like_ima(raw: bytes) -> bool:
    """Whether the bytes are rather an IMA list than a boot log: binary with a template's name
    behind the hash, or ASCII lines.
    """
    if any(raw[8 + w : 11 + w] == b"ima" for w in (20, 32, 48, 64)):
        return True
    parts = raw[:400].split(b"\n", 1)[0].split(b" ")
    return len(parts) >= 5 and parts[0].isdigit() and len(parts[1]) in {40, 64, 96, 128}


def replay_ima(
    path: Path, raw: bytes, wanted: dict[str, dict[int, bytes]], bank: str, output: str
) -> None:
    """Replay an IMA list to PCR 10 in every bank asked for and compare; a list may be ahead of the
    value. Raises Malformed.
    """
    found = parse_ima(raw)
    names = (
        [bank]
        if bank
        else [n for n in wanted if 10 in wanted[n] and n in BANK_BY_NAME] or ["sha1", "sha256"]
    )
    violations, rows, differ = sum(e.violation for e in found.entries), [], []
    body: dict[str, Any] = {
        "log": str(path),
        "kind": "ima",
        "entries": len(found.entries),
        "violations": violations,
        "padding": found.padding,
        "pcrs": {},
        "prefix": {},
    }
    for name in names:
        algorithm = BANK_BY_NAME[name]
        values = running_values(found, algorithm, bytes(DIGEST_SIZE[algorithm]))
        reference = wanted.get(name, {}).get(10)
        body["pcrs"][name] = values[-1].hex()
        if reference is None:
            rows.append((name, values[-1].hex(), ""))
            continue
        count = next((n for n in range(len(values) - 1, -1, -1) if values[n] == reference), None)
        body["prefix"][name] = count
        if count is None:
            differ.append(name)
        rows.append(
            (
                name,
                values[-1].hex(),
                "DIFFERS"
                if count is None
                else "matches"
                if count == len(found.entries)
                else f"matches after {count} entries",
            )
        )
    body["match"] = not differ if any(10 in wanted.get(n, {}) for n in names) else None
    if output == "json":
        show_json(body)
    else:
        talk.print(f"{len(found.entries)} IMA entries, {violations} violations")
        show_table(("bank", "PCR 10", "expected"), rows, empty="nothing")
    if differ:
        raise typer.Exit(EXIT_UNTRUSTED)


def verify(  # noqa: PLR0913 - a command's options
    ak: Annotated[
        Path,
        typer.Option(
            help="The attestation key: TPM2B_PUBLIC, TPMT_PUBLIC, PEM or DER key or certificate."
        ),
    ],
    attest: Annotated[Path, typer.Option(help="What was signed: TPMS_ATTEST or TPM2B_ATTEST.")],
    signature: Annotated[Path, typer.Option(help="TPMT_SIGNATURE, or the bare signature.")],
    nonce: Annotated[
        str, typer.Option(help="The nonce that was asked for, in hexadecimal; empty for none.")
    ],
    pcrs: Annotated[
        Path | None, typer.Option(help='JSON: {bank: {pcr: hex}}, or with that under "pcrs".')
    ] = None,
    boot_log: Annotated[Path | None, typer.Option(help="The firmware's event log.")] = None,
    ima: Annotated[
        Path | None, typer.Option(help="The IMA measurement list, binary or ASCII.")
    ] = None,
    profile: Annotated[
        Path | None, typer.Option(help="A firmware profile (TOML) to appraise by.")
    ] = None,
    allowlist: Annotated[
        list[Path] | None,
        typer.Option(help="An IMA allowlist that the profile names; may be repeated."),
    ] = None,
    output: Output = "table",
) -> None:
    """Verify a quote in files. Exit code 0 affirming, 6 untrusted with all reasons, 2 where a file
    or option cannot be read.
    """
    try:
        expected = bytes.fromhex(nonce.removeprefix("0x"))
    except ValueError as error:
        talk.print(f"expected --nonce in hexadecimal, got {safe(nonce[:40])}")
        raise typer.Exit(2) from error
    with errors():
        parsed = parse_profile(read_file(profile)) if profile else None
        lists = [parse_allowlist(read_file(a)) for a in allowlist or ()]
        values = pcr_values(read_file(pcrs)) if pcrs else None
    report = verify_files(
        ak=read_file(ak),
        attest=read_file(attest),
        signature=read_file(signature),
        nonce=expected,
        pcrs=values,
        boot_log=read_file(boot_log) if boot_log else None,
        ima=read_file(ima) if ima else None,
        profile=parsed,
        allowlists=lists,
    )
    if output == "json":
        show_json(_report_json(report))
    else:
        _tell(report)
    if not report.affirming:
        raise typer.Exit(EXIT_UNTRUSTED)


def _report_json(report: Report) -> dict[str, Any]:
    return {
        "verdict": "affirming" if report.affirming else "untrusted",
        "vector": report.vector(),
        "checked": report.checked,
        "unchecked": report.unchecked,
        "failures": [failure_json(f) for f in report.failures],
        "findings": [failure_json(f) for f in report.findings],
        "facts": report.facts,
    }


def _tell(report: Report) -> None:
    data.print("[green]affirming[/]" if report.affirming else "[red]untrusted[/]")
    rows = [("checked", c) for c in report.checked]
    rows += [("not checked", u) for u in report.unchecked]
    rows += list(report.facts.items())
    show_table(("", ""), rows, empty="nothing could be checked")
    show_failures(report.failures, data)
    if report.findings:
        talk.print("Findings, which alone are no reason to refuse:")
        show_failures(report.findings)


def pcr_values(raw: bytes) -> dict[str, dict[int, bytes]]:
    """PCR values in JSON. Raises Malformed (USAGE)."""
    body: Any = strict_json(raw)
    table = body.get("pcrs", body) if isinstance(body, dict) else None
    found = pcr_table(table, "{bank: {pcr: hex}}")
    wrong = [b for b in found if b not in BANK_BY_NAME]
    if wrong:
        raise Malformed.of(Reason.USAGE, f"banks {', '.join(BANK_BY_NAME)}", ascii(wrong[0][:20]))
    return found


def pcr_table(table: Any, wanted: str) -> dict[str, dict[int, bytes]]:
    """Bank to PCR to value. Raises Malformed (USAGE), saying that `wanted` was."""
    try:
        return {
            bank: {int(p): bytes.fromhex(v.removeprefix("0x")) for p, v in values.items()}
            for bank, values in table.items()
        }
    except (AttributeError, ValueError, TypeError) as error:
        raise Malformed.of(Reason.USAGE, wanted, type(error).__name__) from error


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
            kind, facts, columns, rows = reader(raw)
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
                {"kind": kind, **facts, "rows": [dict(zip(columns, r, strict=True)) for r in rows]}
            )
            return
        talk.print(kind)
        show_table(
            ("", ""), [(k, v if isinstance(v, str) else str(v)) for k, v in facts.items()], empty=""
        )
        if rows:
            show_table(columns, rows, empty="")
        return
    if output == "json":
        show_json(
            {"kind": "unknown", "tried": [{"as": what, "problem": str(why)} for what, why in tried]}
        )
    else:
        talk.print("This is nothing that Framegate knows. Read as:")
        show_table(("as", "problem"), tried, empty="")
    raise typer.Exit(EXIT_FAILED)


_Shown = tuple[str, dict[str, Any], tuple[str, ...], list[tuple[Any, ...]]]


def _ima(raw: bytes) -> _Shown:
    if not looks_like_ima(raw):
        raise Malformed.of(Reason.IMA_MALFORMED, "a template name behind the hash", "none")
    found = parse_ima(raw)
    rows: list[tuple[Any, ...]] = [
        (
            n,
            e.template,
            f"{e.algorithm}:{e.digest.hex()}",
            "violation" if e.violation else "signed" if e.signature else "",
            e.path.decode(errors="backslashreplace"),
        )
        for n, e in enumerate(found.entries)
    ]
    facts = {
        "entries": len(rows),
        "template hashes": found.width.name.lower(),
        "violations": sum(e.violation for e in found.entries),
    }
    return "IMA measurement list", facts, ("#", "template", "digest", "", "path"), rows


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
    return f"TPM key ({key.form})", facts, (), []


def _attest(raw: bytes) -> _Shown:
    found = load_attest(raw)
    if found.magic != TPM_GENERATED:
        raise Malformed.of(Reason.MAGIC, f"0x{TPM_GENERATED:08x}", f"0x{found.magic:08x}")
    clock = found.clock_info
    facts: dict[str, Any] = {
        "type": St(found.type).name if found.type in set(St) else f"0x{found.type:04x}",
        "extraData": found.extra_data.hex() or "none",
        "qualifiedSigner": found.qualified_signer.hex(),
        "clock": f"{clock.clock} ms, reset {clock.reset_count}, restart {clock.restart_count}, "
        f"{'safe' if clock.safe else 'not safe'}",
        "TPM firmware": f"{found.firmware_version:016x}",
    }
    if found.type == St.ATTEST_QUOTE:
        facts |= {
            "PCRs": " + ".join(
                f"{s.bank.name.lower()}:{','.join(map(str, s.pcrs))}" for s in found.selections
            )
            or "none",
            "pcrDigest": found.pcr_digest.hex(),
        }
    if found.type == St.ATTEST_CERTIFY:
        facts |= {"name": found.name.hex(), "qualified name": found.certified_qualified_name.hex()}
    return "TPM attestation", facts, (), []


def _signature(raw: bytes) -> _Shown:
    found = parse_signature(raw)
    value = f"r {found.r:x}, s {found.s:x}" if found.scheme == Alg.ECDSA else found.value.hex()
    return (
        "TPM signature",
        {"scheme": found.scheme.name, "hash": found.hash.name, "value": value},
        (),
        [],
    )


def _certificate(raw: bytes) -> _Shown:
    notes: tuple[str, ...] = ()
    if b"-----BEGIN CERTIFICATE" in raw:
        certificate = x509.load_pem_x509_certificate(raw)
    else:
        found = load_maker_certificate(raw)
        certificate, notes = found.certificate, found.notes
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
    return "certificate", facts, (), []


def _extension(certificate: x509.Certificate, kind: type[Any]) -> Any:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _profile(raw: bytes) -> _Shown:
    profile = parse_profile(raw)
    return (
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
    return (
        "boot log",
        facts,
        ("#", "PCR", "type", HASH_NAME.get(bank, bank.name), "seems to be"),
        rows,
    )
