"""`framegate login`, `logout`, `whoami`: a person's factors for a credential of at most a shift, for a key made on this machine."""

from __future__ import annotations

import http.server
import sys
import threading
import time
import urllib.parse
import webbrowser
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from framegate.errors import Malformed, Reason, Refused
from framegate.identity.certificates import Purpose, load_certificate, verify_certificate
from framegate.identity.pem import private_pem
from framegate_host.console import safe, show_json, talk
from framegate_host.private_files import write_private
from framegate_host.sign_in_prompts import (
    ask_password,
    show_authenticator,
    show_recovery_codes,
)
from framegate_operator.connection import load_context, operator_stub, sign_in_stub
from framegate_operator.contexts import OperatorContext, read_context
from framegate_operator.options import Context, Output, read
from framegate_operator.output import ago, errors, show_table, until
from framegate_operator.security_key import Authenticator, find_authenticator
from framegate_proto.v1 import framegate_pb2 as pb

BROWSER_WAIT_S: Final = 300.0
_DONE: Final = b"<!doctype html><title>Framegate</title><p>Signed in. You may close this window and go back to the terminal."


def login(
    name: Annotated[str, typer.Argument(help="Your operator name; default: who signed in last.")] = "",
    security_key: Annotated[bool, typer.Option("--security-key", help="Sign in with a registered FIDO2 security key alone.")] = False,
    oidc: Annotated[bool, typer.Option("--oidc", help="Sign in at your provider, in the browser.")] = False,
    device_code: Annotated[bool, typer.Option("--device-code", help="With --oidc: for a terminal without a browser.")] = False,
    enrol: Annotated[bool, typer.Option("--enrol", help="First time: set password and second factor with the code an admin gave you.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Only show your second factor again, for what asks for a fresh one.")] = False,
    add_key: Annotated[str, typer.Option("--add-key", help="Register a security key under this label; you are signed in already.")] = "",
    break_glass: Annotated[Path | None, typer.Option("--break-glass", exists=True, dir_okay=False, help="The sealed credential, for an emergency; everybody is told.")] = None,
    password_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="Your password; default: ask.")] = None,
    code: Annotated[str, typer.Option(help="A code of your authenticator, or a recovery code; default: ask.")] = "",
    enrolment_file: Annotated[Path | None, typer.Option(exists=True, dir_okay=False, help="With --enrol: the admin's code; default: ask.")] = None,
    totp_uri_out: Annotated[Path | None, typer.Option(help="With --enrol: write the authenticator's otpauth:// address here instead of showing it.")] = None,
    output: Output = "table", context: Context = None,
) -> None:  # fmt: skip
    """Sign in for at most 8 hours, with a key made on this machine."""
    with errors():
        if again or add_key:
            _prove(load_context(context), code, security_key, add_key)
            return
        found = read_context(context)
        operator = name or found.operator
        if not operator and not oidc:
            raise Refused.of(Reason.USAGE, "your operator name", "none", "framegate login NAME")
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256()).public_bytes(Encoding.DER)
        with sign_in_stub(found) as stub:
            if break_glass is not None:
                made = stub.Password(pb.PasswordRequest(operator=operator, break_glass=break_glass.read_text().strip(), csr=csr))
            elif oidc:
                made = _oidc(stub, csr, device_code)
            elif security_key:
                made = _with_key(stub, operator, csr, find_authenticator(found.server_name))
            elif enrol:
                made = _enrol(stub, operator, csr, enrolment_file, password_file, code, totp_uri_out)
            else:
                made = stub.Password(pb.PasswordRequest(operator=operator, password=_password(password_file, operator), code=code or _ask("code of your authenticator"), csr=csr))
        kept = keep_session(found, key, made)
        if output == "json":
            show_json(
                {"operator": made.operator, "roles": list(made.roles), "expires_ms": made.expires_ms, "recovery_codes": list(made.recovery_codes), "notices": list(made.notices)}
            )
            return
        if made.recovery_codes:
            show_recovery_codes(made.recovery_codes)
        talk.print(f"signed in as [bold]{safe(made.operator)}[/], {until(made.expires_ms)}; roles: {', '.join(made.roles) or 'none yet'}; {kept.path}")
        for line in made.notices:
            talk.print(f"[yellow]{safe(line)}[/]")


def keep_session(context: OperatorContext, key: ec.EllipticCurvePrivateKey, made: pb.SignedIn) -> OperatorContext:
    """Write a session into its context, after checking that the certificate is of this fleet, for this key and this person. Raises Refused."""
    issuing = tuple(load_certificate(der) for der in made.authorities)
    certificate = load_certificate(made.certificate)
    verified = verify_certificate(certificate, Purpose.OPERATOR, issuing, context.root_certificate, certificate.not_valid_before_utc)
    if verified.key != key.public_key() or verified.common_name != f"operator.{made.operator}":
        raise Refused.of(Reason.CERTIFICATE, f"a certificate for the key of this sign-in and {made.operator}", verified.common_name)
    chain = certificate.public_bytes(Encoding.PEM) + load_certificate(made.issuer).public_bytes(Encoding.PEM)
    authorities = b"".join(c.public_bytes(Encoding.PEM) for c in issuing)
    return context.signed_in(operator=made.operator, certificate=chain, key=private_pem(key), authorities=authorities, expires_ms=made.expires_ms, fleet_address=made.fleet_address)


def logout(context: Context = None) -> None:
    """End your session, here and at every gateway."""
    with errors():
        found = load_context(context)
        try:
            with operator_stub(found) as stub:
                stub.SignOut(pb.WhoAmIRequest())
        finally:
            found.signed_out()
        talk.print(f"{safe(found.operator)} is signed out")


@read
def whoami(output: Output = "table", context: Context = None) -> None:
    """Who you are, your roles, and how long for."""
    with errors():
        with operator_stub(load_context(context)) as stub:
            me = stub.WhoAmI(pb.WhoAmIRequest())
        if output == "json":
            show_json({
                "operator": me.operator, "fleet": me.fleet, "roles": list(me.roles), "session_expires_ms": me.session_expires_ms, "factor_ms": me.factor_ms, "method": me.method,
                "quorum": me.quorum, "notices": list(me.notices), "totp": me.totp, "security_keys": list(me.security_keys),
                "elevations": [{"request": e.id, "role": e.role, "zone": e.zone, "until_ms": e.until_ms} for e in me.elevations],
            })  # fmt: skip
            return
        rows: list[tuple[str, object]] = [
            ("operator", me.operator), ("fleet", me.fleet), ("roles", ", ".join(me.roles) or "none: framegate access request --role ROLE --reason TEXT"),
            *(("for a while", f"{e.role} in {e.zone}, {until(e.until_ms)} (request {e.id})") for e in me.elevations),
            ("session", f"{until(me.session_expires_ms)}, by {me.method}"), ("second factor", f"shown {ago(me.factor_ms)}"),
            ("factors", ", ".join([*(["TOTP"] if me.totp else []), *me.security_keys]) or "provider"), ("decisions take", f"{me.quorum} {'people' if me.quorum > 1 else 'person'}"),
        ]  # fmt: skip
        show_table(("", ""), rows, empty="")
        for line in me.notices:
            talk.print(f"[yellow]{safe(line)}[/]", soft_wrap=True)


def _prove(found: OperatorContext, code: str, security_key: bool, add_key: str) -> None:
    with operator_stub(found) as stub:
        if add_key:
            challenge = stub.AddKeyBegin(pb.WhoAmIRequest())
            response = find_authenticator(found.server_name).create(challenge.options)
            me = stub.AddKeyComplete(pb.AddKeyRequest(state=challenge.state, response=response, label=add_key))
            talk.print(f"registered; your security keys: {', '.join(map(safe, me.security_keys))}")
            return
        if security_key:
            challenge = stub.ProveFactor(pb.ProveFactorRequest()).challenge
            response = find_authenticator(found.server_name).get(challenge.options)
            stub.ProveFactor(pb.ProveFactorRequest(state=challenge.state, response=response))
        else:
            stub.ProveFactor(pb.ProveFactorRequest(code=code or _ask("code of your authenticator")))
    talk.print("second factor shown; good for 15 minutes by the default policy")


def _with_key(stub: Any, operator: str, csr: bytes, authenticator: Authenticator) -> pb.SignedIn:
    challenge = stub.KeyBegin(pb.KeyBeginRequest(operator=operator))
    made: pb.SignedIn = stub.KeyComplete(pb.KeyCompleteRequest(state=challenge.state, response=authenticator.get(challenge.options), csr=csr))
    return made


def _enrol(stub: Any, operator: str, csr: bytes, enrolment_file: Path | None, password_file: Path | None, code: str, uri_out: Path | None) -> pb.SignedIn:
    enrolment = enrolment_file.read_text().strip() if enrolment_file else _ask("the code an admin gave you")
    if not code:  # with a code the authenticator is set up already
        uri = stub.EnrolBegin(pb.EnrolBeginRequest(operator=operator, code=enrolment)).totp_uri
        if uri_out is not None:
            write_private(uri_out, uri.encode() + b"\n")
            talk.print(f"{uri_out}: for your authenticator; then the same command with --code CODE")
            raise typer.Exit(0)
        show_authenticator(uri)
        code = _ask("a code of your authenticator")
    password = _password(password_file, operator, new=True)
    made: pb.SignedIn = stub.EnrolComplete(pb.EnrolCompleteRequest(operator=operator, code=enrolment, password=password, totp=code, csr=csr))
    return made


def _oidc(stub: Any, csr: bytes, device_code: bool) -> pb.SignedIn:
    if device_code:
        flow = stub.OidcBegin(pb.OidcBeginRequest(flow="device"))
        talk.print(f"on any device with a browser, open {safe(flow.url)} and enter the code [bold]{safe(flow.user_code)}[/]", soft_wrap=True)
        end = time.monotonic() + flow.expires_s
        while time.monotonic() < end:
            made: pb.SignedIn = stub.OidcComplete(pb.OidcCompleteRequest(state=flow.state, csr=csr))
            if not made.pending:
                return made
            time.sleep(max(1, flow.interval_s))
        raise Refused.of(Reason.SIGN_IN, f"an answer at the provider within {flow.expires_s} s", "none", "framegate login --oidc --device-code")
    with Loopback() as loopback:
        flow = stub.OidcBegin(pb.OidcBeginRequest(flow="code", redirect_uri=loopback.uri))
        talk.print(f"your browser opens; if it does not: {safe(flow.url)}", soft_wrap=True)
        webbrowser.open(flow.url)
        answer = loopback.wait(flow.state.hex())
    done: pb.SignedIn = stub.OidcComplete(pb.OidcCompleteRequest(state=flow.state, answer=answer, csr=csr))
    return done


class Loopback:
    """Where the provider sends the browser back to (RFC 8252, 7.3): a port of this machine, for one answer."""

    def __enter__(self) -> Loopback:
        self._answers: list[dict[str, list[str]]] = []
        self._came = threading.Event()
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                query = urllib.parse.parse_qs(urllib.parse.urlsplit(self.path).query)
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(_DONE)
                if {"state"} <= set(query):
                    outer._answers.append(query)
                    outer._came.set()

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self._server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait(self, state: str) -> str:
        """The provider's code for this very sign-in. Raises Refused."""
        if not self._came.wait(BROWSER_WAIT_S):
            raise Refused.of(Reason.SIGN_IN, f"the browser's return within {BROWSER_WAIT_S:g} s", "nothing", "framegate login --oidc --device-code, where there is no browser")
        query = self._answers[0]
        if query["state"] != [state]:
            raise Refused.of(Reason.SIGN_IN, "the answer to this sign-in", "one to another", "framegate login --oidc")
        if "code" not in query:
            raise Refused.of(Reason.SIGN_IN, "the provider's consent", ascii(" ".join(query.get("error", ["nothing"]))[:80]), "framegate login --oidc")
        return query["code"][0]


def _password(file: Path | None, operator: str, *, new: bool = False) -> str:
    return ask_password(f"{'new ' if new else ''}password of {operator}", file, new=new)


def _ask(what: str) -> str:
    if not sys.stdin.isatty():
        raise Malformed.of(Reason.USAGE, f"a terminal to ask for {what}, or an option", "neither", "framegate login --help")
    return str(typer.prompt(what, err=True)).strip()
