"""`framegate login`, `logout`, `whoami`: a person's factors for a credential of a shift at most.

The credential is for a key made on this machine.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography.hazmat.primitives.asymmetric import ec

from framegate.errors import Malformed, Reason, Refused
from framegate_host.console import ask, safe, show_json, talk
from framegate_host.private_files import write_private
from framegate_host.sign_in_prompts import ask_password, show_authenticator, show_recovery_codes
from framegate_operator.connection import load_context, operator_stub, sign_in_stub
from framegate_operator.contexts import OperatorContext, read_context
from framegate_operator.oidc import sign_in_at_provider
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, errors, show_table, until
from framegate_operator.security_key import Authenticator, find_authenticator
from framegate_operator.session_credentials import certificate_request, session_credential
from framegate_operator.visiting import visiting
from framegate_proto.v1 import framegate_pb2 as pb

_YOUR_CODE: Final = "code of your authenticator"
_Name = Annotated[str, typer.Argument(help="Your operator name; default: who signed in last.")]
_SecurityKey = Annotated[
    bool,
    typer.Option("--security-key", help="Sign in with a registered FIDO2 security key alone."),
]
_Oidc = Annotated[bool, typer.Option("--oidc", help="Sign in at your provider, in the browser.")]
_DeviceCode = Annotated[
    bool,
    typer.Option("--device-code", help="With --oidc: for a terminal without a browser."),
]
_Enrol = Annotated[
    bool,
    typer.Option(
        "--enrol",
        help="First time: set password and second factor with the code an admin gave you.",
    ),
]
_Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Only show your second factor again, for what asks for a fresh one.",
    ),
]
_AddKey = Annotated[
    str,
    typer.Option(
        "--add-key",
        help="Register a security key under this label; you are signed in already.",
    ),
]
_BreakGlass = Annotated[
    Path | None,
    typer.Option(
        "--break-glass",
        exists=True,
        dir_okay=False,
        help="The sealed credential, for an emergency; everybody is told.",
    ),
]
_From = Annotated[
    Path | None,
    typer.Option(
        "--from",
        help="Sign in with your session at another site, as what this fleet maps you to: a context "
        "of yours there.",
    ),
]
_PasswordFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="Your password; default: ask."),
]
_Code = Annotated[
    str,
    typer.Option(help="A code of your authenticator, or a recovery code; default: ask."),
]
_EnrolmentFile = Annotated[
    Path | None,
    typer.Option(exists=True, dir_okay=False, help="With --enrol: the admin's code; default: ask."),
]
_TotpUriOut = Annotated[
    Path | None,
    typer.Option(
        help="With --enrol: write the authenticator's otpauth:// address here instead of "
        "showing it."
    ),
]


@dataclass(frozen=True, slots=True)
class _Given:
    """What a person brought along; what is missing they are asked for."""

    password_file: Path | None
    code: str
    enrolment_file: Path | None
    totp_uri_out: Path | None


def login(  # noqa: PLR0913 - a command's options
    name: _Name = "",
    security_key: _SecurityKey = False,
    oidc: _Oidc = False,
    device_code: _DeviceCode = False,
    enrol: _Enrol = False,
    again: _Again = False,
    add_key: _AddKey = "",
    break_glass: _BreakGlass = None,
    from_: _From = None,
    password_file: _PasswordFile = None,
    code: _Code = "",
    enrolment_file: _EnrolmentFile = None,
    totp_uri_out: _TotpUriOut = None,
    output: Output = "table",
    context: Context = None,
) -> None:
    """Sign in for at most 8 hours, with a key made on this machine."""
    with errors():
        if again or add_key:
            _prove(load_context(context), code, security_key, add_key)
            return
        fleet_context = read_context(context)
        operator = name or fleet_context.operator
        if not operator and not oidc and not from_:
            raise Refused.of(Reason.USAGE, "your operator name", "none", "framegate login NAME")
        given = _Given(password_file, code, enrolment_file, totp_uri_out)
        key = ec.generate_private_key(ec.SECP256R1())
        csr = certificate_request(key)
        with sign_in_stub(fleet_context) as stub:
            if break_glass is not None:
                session = _by_break_glass(stub, operator, csr, break_glass)
            elif from_ is not None:
                session = visiting(stub, load_context(from_), fleet_context.server_name, csr)
            elif oidc:
                session = sign_in_at_provider(stub, csr, device_code=device_code)
            elif security_key:
                session = _by_key(
                    stub, operator, csr, find_authenticator(fleet_context.server_name)
                )
            elif enrol:
                session = _enrolled(stub, operator, csr, given)
            else:
                session = _by_password(stub, operator, csr, given)
        _tell(session, keep_session(fleet_context, key, session), output)


def _tell(session: pb.SignedIn, kept: OperatorContext, output: str) -> None:
    if output == "json":
        show_json(
            {
                "operator": session.operator,
                "roles": list(session.roles),
                "expires_ms": session.expires_ms,
                "recovery_codes": list(session.recovery_codes),
                "notices": list(session.notices),
            }
        )
        return
    if session.recovery_codes:
        show_recovery_codes(session.recovery_codes)
    roles = ", ".join(session.roles) or "none yet"
    who = f"signed in as [bold]{safe(session.operator)}[/], {until(session.expires_ms)}"
    talk.print(f"{who}; roles: {roles}; {safe(kept.path)}")
    for line in session.notices:
        talk.print(f"[yellow]{safe(line)}[/]")


def keep_session(
    context: OperatorContext, key: ec.EllipticCurvePrivateKey, session: pb.SignedIn
) -> OperatorContext:
    """Write a session into its context, once its certificate is found to be of this fleet, for this
    key and this person. Raises Refused.
    """
    credential = session_credential(context.root_certificate, key, session)
    return context.signed_in(
        operator=credential.operator,
        certificate=credential.certificate,
        key=credential.key,
        authorities=credential.authorities_pem,
        expires_ms=credential.expires_ms,
        fleet_address=credential.fleet_address,
    )


def logout(context: Context = None) -> None:
    """End your session, here and at every gateway."""
    with errors():
        operator = load_context(context)
        try:
            with operator_stub(operator) as stub:
                stub.SignOut(pb.WhoAmIRequest())
        finally:
            operator.signed_out()
        talk.print(f"{safe(operator.operator)} is signed out")


@read
def whoami(output: Output = "table", context: Context = None) -> None:
    """Who you are, your roles, and how long for."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            me = stub.WhoAmI(pb.WhoAmIRequest())
        if output == "json":
            show_json(_json(me))
            return
        show_table(("", ""), _facts(me), empty="")
        for line in me.notices:
            talk.print(f"[yellow]{safe(line)}[/]", soft_wrap=True)


def _json(me: pb.WhoAmIReply) -> dict[str, Any]:
    return {
        "operator": me.operator,
        "fleet": me.fleet,
        "roles": list(me.roles),
        "session_expires_ms": me.session_expires_ms,
        "factor_ms": me.factor_ms,
        "method": me.method,
        "quorum": me.quorum,
        "notices": list(me.notices),
        "totp": me.totp,
        "security_keys": list(me.security_keys),
        "elevations": [
            {"request": e.id, "role": e.role, "zone": e.zone, "until_ms": e.until_ms}
            for e in me.elevations
        ],
    }


def _facts(me: pb.WhoAmIReply) -> list[tuple[str, object]]:
    ask = "none: framegate access request --role ROLE --reason TEXT"
    factors = [*(["TOTP"] if me.totp else []), *me.security_keys]
    return [
        ("operator", me.operator),
        ("fleet", me.fleet),
        ("roles", ", ".join(me.roles) or ask),
        *(
            ("for a while", f"{e.role} in {e.zone}, {until(e.until_ms)} (request {e.id})")
            for e in me.elevations
        ),
        ("session", f"{until(me.session_expires_ms)}, by {me.method}"),
        ("second factor", f"shown {ago(me.factor_ms)}"),
        ("factors", ", ".join(factors) or "provider"),
        ("decisions take", f"{me.quorum} {'people' if me.quorum > 1 else 'person'}"),
    ]


def _prove(operator: OperatorContext, code: str, security_key: bool, add_key: str) -> None:
    with operator_stub(operator) as stub:
        if add_key:
            challenge = stub.AddKeyBegin(pb.WhoAmIRequest())
            response = find_authenticator(operator.server_name).create(challenge.options)
            answer = pb.AddKeyRequest(state=challenge.state, response=response, label=add_key)
            keys = ", ".join(map(safe, stub.AddKeyComplete(answer).security_keys))
            talk.print(f"registered; your security keys: {keys}")
            return
        if security_key:
            challenge = stub.ProveFactor(pb.ProveFactorRequest()).challenge
            response = find_authenticator(operator.server_name).get(challenge.options)
            stub.ProveFactor(pb.ProveFactorRequest(state=challenge.state, response=response))
        else:
            stub.ProveFactor(pb.ProveFactorRequest(code=code or _ask(_YOUR_CODE)))
    talk.print("second factor shown; good for 15 minutes by the default policy")


def _by_password(stub: Any, operator: str, csr: bytes, given: _Given) -> pb.SignedIn:
    password = _password(given.password_file, operator)
    code = given.code or _ask(_YOUR_CODE)
    request = pb.PasswordRequest(operator=operator, password=password, code=code, csr=csr)
    session: pb.SignedIn = stub.Password(request)
    return session


def _by_break_glass(stub: Any, operator: str, csr: bytes, sealed: Path) -> pb.SignedIn:
    credential = sealed.read_text().strip()
    request = pb.PasswordRequest(operator=operator, break_glass=credential, csr=csr)
    session: pb.SignedIn = stub.Password(request)
    return session


def _by_key(stub: Any, operator: str, csr: bytes, authenticator: Authenticator) -> pb.SignedIn:
    challenge = stub.KeyBegin(pb.KeyBeginRequest(operator=operator))
    response = authenticator.get(challenge.options)
    request = pb.KeyCompleteRequest(state=challenge.state, response=response, csr=csr)
    session: pb.SignedIn = stub.KeyComplete(request)
    return session


def _enrolled(stub: Any, operator: str, csr: bytes, given: _Given) -> pb.SignedIn:
    file, code = given.enrolment_file, given.code
    enrolment = file.read_text().strip() if file else _ask("the code an admin gave you")
    if not code:  # with a code the authenticator is set up already
        begin = pb.EnrolBeginRequest(operator=operator, code=enrolment)
        uri, out = stub.EnrolBegin(begin).totp_uri, given.totp_uri_out
        if out is not None:
            write_private(out, uri.encode() + b"\n")
            talk.print(
                f"{safe(out)}: for your authenticator; then the same command with --code CODE"
            )
            raise typer.Exit(0)
        show_authenticator(uri)
        code = _ask("a code of your authenticator")
    request = pb.EnrolCompleteRequest(
        operator=operator,
        code=enrolment,
        password=_password(given.password_file, operator, new=True),
        totp=code,
        csr=csr,
    )
    session: pb.SignedIn = stub.EnrolComplete(request)
    return session


def _password(file: Path | None, operator: str, *, new: bool = False) -> str:
    return ask_password(f"{'new ' if new else ''}password of {operator}", file, new=new)


def _ask(what: str) -> str:
    if not sys.stdin.isatty():
        wanted = f"a terminal to ask for {what}, or an option"
        raise Malformed.of(Reason.USAGE, wanted, "neither", "framegate login --help")
    return ask(what).strip()
