"""`framegate profile …`: learn, read, compare, sign and import firmware profiles."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Final

import tomli_w
import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import FramegateError, Malformed, Reason, Refused
from framegate.eventlog import parse_boot_log
from framegate.ima import parse_ima
from framegate.ima.allowlist import STRONG, allowlist_text
from framegate.profile.learn import Learnt, Observation, learn
from framegate.profile.model import PROFILE_TYPE, FirmwareProfile, parse_profile
from framegate.profile.posture import parse_posture
from framegate.profile.review import diff, explain, lint
from framegate.signed.dsse import parse_envelope, seal_envelope
from framegate.tpm.constants import BANK_BY_NAME
from framegate.wire import sha256
from framegate_host.console import EXIT_FAILED, safe, show_json, talk
from framegate_operator.connection import load_context, operator_stub
from framegate_operator.evidence_files import read_file
from framegate_operator.options import Context, Output, read, write
from framegate_operator.output import ago, data, errors, show_table
from framegate_operator.reference_values import from_corim
from framegate_proto.v1 import framegate_pb2 as pb

app = typer.Typer(
    no_args_is_help=True,
    help="Firmware profiles: what a machine must have booted. Learn, lint, diff, sign, import.",
)
MAX_SENT: Final = 6 * 1024 * 1024
"""What fits into one message to the controller: some 50,000 files."""
File = Annotated[
    Path, typer.Argument(exists=True, dir_okay=False, help="A profile in TOML, or signed (DSSE).")
]


@app.command("learn")
def learn_(  # noqa: PLR0913 - a command's options
    name: Annotated[
        str, typer.Option(help="Name of the profile, for instance the machine's model.")
    ],
    out: Annotated[
        Path, typer.Option(help="Where to write the profile; its allowlist goes beside it.")
    ],
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--from",
            help="A device of the fleet, or several separated by commas, that are known to "
            "be good.",
        ),
    ] = None,
    boot_log: Annotated[
        list[Path] | None, typer.Option(help="A boot log in a file; may be repeated.")
    ] = None,
    ima: Annotated[
        list[Path] | None,
        typer.Option(help="An IMA list in a file, of the boot log in the same place."),
    ] = None,
    version: str = "1.0.0",
    revision: Annotated[int, typer.Option(min=1)] = 1,
    description: str = "",
    bank: str = "sha256",
    base: Annotated[
        Path | None, typer.Option(help="An allowlist whose files stay allowed.")
    ] = None,
    context: Context = None,
) -> None:
    """Make a profile that the given machines satisfy. Read it, lint it, then sign it: what it calls
    good is what they ran.
    """
    with errors():
        if bank not in BANK_BY_NAME:
            raise Malformed.of(Reason.USAGE, f"--bank {', '.join(BANK_BY_NAME)}", ascii(bank[:20]))
        logs, names = boot_log or [], _names(source or [])
        machines = _machines(logs, ima or [], names, context)
        words = description or f"learnt from {', '.join(names) or ', '.join(map(str, logs))}"[:200]
        made = learn(
            machines,
            name=name,
            version=version,
            revision=revision,
            description=words,
            bank=BANK_BY_NAME[bank],
            base=read_file(base) if base else b"",
        )
        _write(made, out)


def _names(sources: list[str]) -> list[str]:
    return [n.strip() for each in sources for n in each.split(",") if n.strip()]


def _machines(
    logs: list[Path], ima: list[Path], names: list[str], context: Path | None
) -> list[Observation]:
    """What the files and the devices of the fleet show. Raises Refused where there is neither."""
    lists = [*ima, *[None] * len(logs)]
    machines = [_of_files(log, listed) for log, listed in zip(logs, lists, strict=False)]
    if names:
        with operator_stub(load_context(context)) as stub:
            machines += [_of_device(stub.Observe(pb.DeviceRequest(device=n))) for n in names]
    if not machines:
        raise Refused.of(
            Reason.USAGE,
            "--from DEVICE[,DEVICE…] or --boot-log FILE",
            "neither",
            "learn from machines that you know to be good",
        )
    return machines


def _write(made: Learnt, out: Path) -> None:
    text = tomli_w.dumps(made.profile)
    profile = parse_profile(text.encode())
    out.write_text(text)
    pcrs = ",".join(map(str, profile.selection.pcrs))
    talk.print(f"{out}: {len(profile.rules)} events, {len(profile.texts)} texts, PCR {pcrs}")
    if made.allowlist:
        beside = out.with_suffix(".allowlist")
        beside.write_bytes(made.allowlist)
        files, digest = made.allowlist.count(b"sha"), sha256(made.allowlist).hex()
        talk.print(f"{beside}: {files} files, sha256:{digest}")
    _remarks(profile, "table")
    explain_it, sign_it = f"framegate profile explain {out}", f"framegate profile sign {out}"
    talk.print(f"next: read it ({explain_it}), then {sign_it} --key KEY")


def _of_files(log: Path, ima: Path | None) -> Observation:
    return Observation(
        parse_boot_log(read_file(log)), parse_ima(read_file(ima)).entries if ima else ()
    )


def _of_device(seen: pb.Observation) -> Observation:
    if seen.state != "trusted":
        talk.print(
            f"[yellow]{safe(seen.device)} is {seen.state}[/]: you make a profile of what it runs; "
            "be sure that this is what it should run"
        )
    ima = parse_ima(seen.ima).entries if seen.ima else ()
    firmware = int(seen.tpm_firmware, 16) if seen.tpm_firmware else None
    return Observation(
        parse_boot_log(seen.boot_log),
        ima,
        parse_posture(seen.posture.encode()) if seen.posture else None,
        firmware,
        tuple(seen.quirks),
    )


@app.command("lint")
def lint_(file: File, output: Output = "table") -> None:
    """What an attacker would thank this profile for. Exit code 1 where there is an error among
    it.
    """
    with errors():
        found = _remarks(_load(file), output)
    if any(r.error for r in found):
        raise typer.Exit(EXIT_FAILED)


def _remarks(profile: FirmwareProfile, output: str) -> Any:
    found = lint(profile)
    if output == "json":
        show_json(
            [
                {"level": "error" if r.error else "warning", "about": r.about, "words": r.words}
                for r in found
            ]
        )
    else:
        show_table(
            ("", "about", ""),
            [("error" if r.error else "warning", r.about, r.words) for r in found],
            empty="nothing to complain about",
        )
    return found


@app.command("diff")
def diff_(old: File, new: File, output: Output = "table") -> None:
    """What the second profile demands otherwise than the first, in words."""
    with errors():
        lines = diff(_load(old), _load(new))
    if output == "json":
        show_json(lines)
    else:
        show_table(("change",), [(line,) for line in lines], empty="they demand the same")


@app.command("explain")
def explain_(
    profile: Annotated[str, typer.Argument(help="A file, or the name of a profile in force.")],
    revision: Annotated[int, typer.Option(min=0)] = 0,
    output: Output = "table",
    context: Context = None,
) -> None:
    """What a profile demands, a sentence a line."""
    with errors():
        lines = explain(
            _load(Path(profile))
            if Path(profile).is_file()
            else _fetch(profile, revision, context)[0]
        )
    if output == "json":
        show_json(lines)
    else:
        for line in lines:
            data.print(safe(line))


@app.command("show")
def show(
    name: str, revision: Annotated[int, typer.Option(min=0)] = 0, context: Context = None
) -> None:
    """Print a profile of the fleet as TOML."""
    with errors():
        print(_fetch(name, revision, context)[1], end="")


@app.command("sign")
def sign(
    file: File,
    key: Annotated[
        Path,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Key and certificate of a profile signer; framegate-controller profile signer "
            "makes one.",
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="Where to write the signed profile; default: FILE.signed")
    ] = None,
    force: Annotated[bool, typer.Option(help="Sign although lint finds errors.")] = False,
) -> None:
    """Sign a profile. Refuses one in which lint finds an error, unless forced."""
    with errors():
        raw = read_file(file)
        bad = [r for r in lint(parse_profile(raw)) if r.error]
        if bad and not force:
            raise Refused.of(
                Reason.PROFILE_INVALID,
                "a profile without errors",
                f"{bad[0].about}: {bad[0].words}",
                "framegate profile lint FILE shows all; --force signs it all the same",
            )
        private, certificate = _signer(read_file(key))
        target = out or file.with_name(file.name + ".signed")
        der = certificate.public_bytes(Encoding.DER)
        target.write_bytes(
            seal_envelope(
                PROFILE_TYPE, raw, der, lambda m: private.sign(m, ec.ECDSA(hashes.SHA256()))
            )
        )
        talk.print(
            f"{target}: signed by {safe(certificate.subject.rfc4514_string())}; "
            f"next: framegate profile import {target} --allowlist FILE"
        )


def _signer(pem: bytes) -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    try:
        private, certificate = (
            serialization.load_pem_private_key(pem, None),
            x509.load_pem_x509_certificate(pem),
        )
    except (ValueError, TypeError) as error:
        raise Malformed.of(
            Reason.USAGE,
            "a private key and its certificate in PEM",
            type(error).__name__,
            "framegate-controller profile signer NAME --out FILE makes them",
        ) from error
    if (
        not isinstance(private, ec.EllipticCurvePrivateKey)
        or private.public_key() != certificate.public_key()
    ):
        raise Malformed.of(Reason.USAGE, "a P-256 key and its own certificate", "another")
    return private, certificate


@app.command("import")
@write
def import_(  # noqa: PLR0913 - a command's options
    file: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="A signed profile, a CoRIM (CBOR), or a TCG RIM's support log.",
        ),
    ],
    allowlist: Annotated[
        list[Path] | None,
        typer.Option(
            exists=True, dir_okay=False, help="An IMA allowlist that it names; may be repeated."
        ),
    ] = None,
    for_rollout: Annotated[
        bool,
        typer.Option(
            "--for-rollout",
            help="Keep it for framegate rollout start, instead of putting it in force at once.",
        ),
    ] = False,
    reference: Annotated[
        str,
        typer.Option(
            help="corim or tcg-rim: turn the file's reference values into a profile to read and "
            "sign, instead of importing it."
        ),
    ] = "",
    out: Annotated[
        Path | None, typer.Option(help="With --reference: where to write the profile.")
    ] = None,
    name: Annotated[str, typer.Option(help="With --reference.")] = "imported",
    output: Output = "table",
    context: Context = None,
) -> None:
    """Bring a signed profile into the fleet; or turn a vendor's reference values (CoRIM, TCG RIM)
    into a profile.
    """
    with errors():
        raw = read_file(file)
        if reference:
            _reference(raw, reference, out or Path(f"{name}.toml"), name)
            return
        row = _imported(raw, [read_file(a) for a in allowlist or ()], for_rollout, context)
        if output == "json":
            show_json(_json(row))
            return
        kept = "in force" if row.in_force else "kept"
        what = f"{safe(row.name)} {safe(row.version)} revision {row.revision}"
        talk.print(f"{what}, signed by {safe(row.signer)}: {kept}, {row.devices} devices")
        if for_rollout:
            options = "--canary 1 --waves 10,50,100 --max-fail 1 --soak 1h"
            talk.print(f"next: framegate rollout start {row.name} {options}")


def _imported(
    raw: bytes, lists: list[bytes], for_rollout: bool, context: Path | None
) -> pb.ProfileRow:
    size = sum(map(len, lists))
    if size > MAX_SENT:
        hint = (
            "on the controller's host: framegate-controller profile allowlist FILE; "
            "then import without --allowlist"
        )
        most = f"allowlists of at most {MAX_SENT >> 20} MiB together"
        raise Refused.of(Reason.TOO_LARGE, most, f"{size >> 20} MiB", hint)
    request = pb.ImportProfileRequest(envelope=raw, allowlists=lists, for_rollout=for_rollout)
    with operator_stub(load_context(context)) as stub:
        row: pb.ProfileRow = stub.ImportProfile(request)
    return row


def _reference(raw: bytes, kind: str, out: Path, name: str) -> None:
    if kind == "corim":
        body = from_corim(raw, name)
    elif kind == "tcg-rim":
        log = parse_boot_log(raw)
        bank = next((b for n, b in BANK_BY_NAME.items() if b in log.banks and n != "sha1"), None)
        if bank is None:
            raise Malformed.of(
                Reason.BOOT_LOG_MALFORMED,
                "a support RIM with SHA-256 or stronger",
                ", ".join(b.name for b in log.banks),
            )
        body, _ = learn(
            [Observation(log)],
            name=name,
            version="1",
            revision=1,
            description="from the vendor's TCG RIM",
            bank=bank,
        )
    else:
        raise Malformed.of(Reason.USAGE, "--reference corim or tcg-rim", ascii(kind[:20]))
    text = tomli_w.dumps(body)
    profile = parse_profile(text.encode())
    out.write_text(text)
    talk.print(
        f"{out}: {len(profile.rules)} events from the vendor's reference values; "
        "the vendor's signature is not checked here: check where the file came from"
    )
    _remarks(profile, "table")


@app.command("list")
@read
def list_(output: Output = "table", context: Context = None) -> None:
    """Every revision of every profile, who signed it, and which is in force."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            rows = stub.ListProfiles(pb.ListRequest()).profiles
        if output == "json":
            show_json([_json(r) for r in rows])
            return
        columns = (
            "profile",
            "version",
            "revision",
            "",
            "devices",
            "signed by",
            "added",
            "sha256",
            "problem",
        )
        cells = [
            (
                r.name,
                r.version,
                r.revision,
                "in force" if r.in_force else "",
                r.devices if r.in_force else "",
                r.signer,
                ago(r.added_ms),
                r.sha256.hex()[:16],
                r.problem,
            )
            for r in rows
        ]
        show_table(
            columns,
            cells,
            empty="none: framegate profile learn --from DEVICE, "
            "or framegate-controller profile add FILE",
        )


@app.command("revoke-signer")
@write
def revoke_signer(
    certificate: Annotated[
        Path,
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="The signer's certificate, or a profile that it signed.",
        ),
    ],
    reason: Annotated[str, typer.Option(help="Why; kept and shown.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    context: Context = None,
) -> None:
    """A signer's word counts no more. Profiles it signed stop counting at once: their devices go
    stale until another is in force.
    """
    with errors():
        raw = read_file(certificate)
        der = (
            x509.load_pem_x509_certificate(raw).public_bytes(Encoding.DER)
            if b"-----BEGIN CERTIFICATE" in raw
            else parse_envelope(raw, PROFILE_TYPE).certificate
        )
        if not yes:
            typer.confirm("revoke this signer for good?", abort=True, err=True)
        with operator_stub(load_context(context)) as stub:
            row = stub.RevokeSigner(pb.RevokeSignerRequest(certificate=der, reason=reason))
        talk.print(f"revoked: {safe(row.subject)} ({safe(row.reason)})")


@app.command("allowlist")
def allowlist_(
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="IMA lists, binary or ASCII, or the output of sha256sum.",
        ),
    ],
    out: Annotated[Path, typer.Option(help="Where to write the allowlist.")],
) -> None:
    """Make an IMA allowlist from what good machines measured, or from a package's checksums."""
    with errors():
        found: list[tuple[str, bytes, bytes]] = []
        for file in files:
            found += _allowed(read_file(file), file)
        content = allowlist_text(found)
        out.write_bytes(content)
        talk.print(
            f"{out}: {len(set(found))} files; in the profile: "
            f'allowlists = ["sha256:{sha256(content).hex()}"]'
        )


def _allowed(raw: bytes, file: Path) -> list[tuple[str, bytes, bytes]]:
    try:
        return [
            (e.algorithm, e.digest, e.path)
            for e in parse_ima(raw).entries
            if not e.violation and e.algorithm in STRONG and e.path != b"boot_aggregate"
        ]
    except FramegateError:
        found = []
        for line in raw.splitlines():
            digest, _, path = line.partition(b"  ")
            algorithm = {64: "sha256", 96: "sha384", 128: "sha512"}.get(len(digest))
            try:
                value = bytes.fromhex(digest.decode())
            except ValueError:
                algorithm = None
            if algorithm is None or not path:
                raise Malformed.of(
                    Reason.USAGE,
                    "an IMA list, or lines of checksum and path as sha256sum writes them",
                    f"{file}: {line[:60]!a}",
                ) from None
            found.append((algorithm, value, path))
        return found


def _load(file: Path) -> FirmwareProfile:
    raw = read_file(file)
    return parse_profile(parse_envelope(raw, PROFILE_TYPE).payload if raw[:1] == b"{" else raw)


def _fetch(name: str, revision: int, context: Path | None) -> tuple[FirmwareProfile, str]:
    with operator_stub(load_context(context)) as stub:
        reply = stub.ShowProfile(pb.ProfileRequest(name=name, revision=revision))
    return parse_profile(reply.toml), reply.toml.decode()


def _json(row: pb.ProfileRow) -> dict[str, Any]:
    return {
        "name": row.name,
        "version": row.version,
        "revision": row.revision,
        "sha256": row.sha256.hex(),
        "signer": row.signer,
        "added_ms": row.added_ms,
        "in_force": row.in_force,
        "devices": row.devices,
        "problem": row.problem,
    }
