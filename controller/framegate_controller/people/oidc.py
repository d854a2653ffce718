"""OpenID Connect: authorization code with PKCE, and device code (RFC 8628).

The provider says who it is; what they may do is ours. Imported where a controller has a provider:
a client over HTTP is a tenth of a start.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from framegate.errors import Malformed, Reason, Refused, Unavailable
from framegate.redaction import clipped
from framegate_controller.bounded_http import bounded
from framegate_controller.store.shared.ceremonies import OpenFlow, Waiting

FLOW_MS: Final = 600_000
"""From the browser's start to its return."""
ALGORITHMS: Final = ("RS256", "ES256", "PS256", "EdDSA")
"""Asymmetric ones alone: what is signed with a shared secret proves nothing here."""
LEEWAY_S: Final = 30
SLOWER_MS: Final = 5_000
"""What "slow down" adds between two questions (RFC 8628, 3.5)."""
MAX_CODE: Final = 4096
"""Characters of an authorization code."""
_CODE: Final = "code"
_DEVICE: Final = "device"
CONSOLE_PAGE: Final = "/oidc"
"""The page of a console that takes the provider's answer."""
_LOCAL: Final = frozenset({"127.0.0.1", "localhost"})
_DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
_WAITING: Final = frozenset({"authorization_pending", "slow_down"})
_NO_ANSWER: Final = (requests.RequestException, ValueError, RecursionError)
"""What comes of asking a provider that is away, or answers with no JSON, or with a maze of it."""


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Whom to ask. `ca` is a PEM file of the provider's CA, where it is not a public one.

    `device_code` says whether people may sign in with a device code; `consoles` are the origins of
    web consoles, to which the provider may send people back, too.
    """

    issuer: str
    client_id: str
    client_secret: str = ""
    ca: Path | None = None
    device_code: bool = False
    consoles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class OidcFlow:
    """A sign-in that was begun: where to send the person, and in a device flow what they type."""

    state: bytes
    url: str
    user_code: str = ""
    interval_s: int = 5
    expires_s: int = FLOW_MS // 1000


@dataclass(frozen=True, slots=True)
class Authenticated:
    """Whom the provider vouches for, by its own name for them, and when it saw them."""

    subject: str
    at_ms: int


class OidcProvider:
    """One provider. Its metadata is read at the first use and must name the issuer asked as."""

    def __init__(self, settings: OidcSettings, flows: Waiting[OpenFlow]) -> None:
        parts = urlsplit(settings.issuer)
        local = parts.hostname in {*_LOCAL, "::1"}
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            expected = "an issuer's https:// address"
            raise Malformed.of(Reason.USAGE, expected, ascii(settings.issuer[:100]))
        if parts.username is not None or parts.password is not None:
            expected = "an issuer's address without credentials"
            raise Malformed.of(Reason.USAGE, expected, ascii(settings.issuer[:100]))
        self.issuer, self._settings, self._flows = settings.issuer, settings, flows
        self._metadata: dict[str, Any] = {}

    def begin(self, flow: str, redirect: str, source: str, now_ms: int) -> OidcFlow:
        """Begin a `code` or `device` flow for somebody at the address `source`.

        Whoever is talked into entering somebody else's device code signs that other person in, so
        this controller gives none unless it was told to. The provider is asked to see the person
        anew, not a cookie. PKCE verifier and nonce stay here: the person's machine only carries
        the code. Raises Malformed, Refused, Unavailable.
        """
        if flow == _DEVICE:
            return self._begin_device(source, now_ms)
        if flow != _CODE or not self._returns(redirect):
            expected = "flow code with a redirect to http://127.0.0.1:PORT/, or flow device"
            raise Malformed.of(Reason.USAGE, expected, ascii(f"{flow} {redirect}"[:100]))
        state = secrets.token_bytes(16)
        begun = OpenFlow(
            kind=_CODE,
            expires_ms=now_ms + FLOW_MS,
            verifier=secrets.token_urlsafe(48),
            nonce=secrets.token_urlsafe(24),
            redirect=redirect,
        )
        with self._client(redirect) as client:
            url, _ = client.create_authorization_url(
                self._endpoint("authorization_endpoint"),
                state=state.hex(),
                code_verifier=begun.verifier,
                nonce=begun.nonce,
                prompt="login",
            )
        self._flows.keep(state, begun)
        return OidcFlow(state, url)

    def _returns(self, redirect: str) -> bool:
        """Whether people come back there: a port of their own machine, or a console's page."""
        target = urlsplit(redirect)
        if f"{target.scheme}://{target.netloc}" in self._settings.consoles:
            return target.path == CONSOLE_PAGE and not target.query and not target.fragment
        return target.scheme == "http" and target.hostname in _LOCAL

    def _begin_device(self, source: str, now_ms: int) -> OidcFlow:
        if not self._settings.device_code:
            wanted, hint = "a sign-in in this machine's browser", "framegate login --oidc"
            seen = "one with a device code, which this controller does not give"
            raise Refused.of(Reason.SIGN_IN, wanted, seen, hint)
        data = {"client_id": self._settings.client_id, "scope": "openid"}
        try:
            endpoint = self._endpoint("device_authorization_endpoint")
            with bounded(requests.Session(), self._verify) as session:
                body = session.post(endpoint, data=data).json()
            code, shown = body["device_code"], str(body["user_code"])
            url = str(body.get("verification_uri_complete") or body["verification_uri"])
            life, every = int(body.get("expires_in", 600)), int(body.get("interval", 5))
        except (*_NO_ANSWER, KeyError, TypeError, OverflowError) as error:
            raise self._unavailable(error) from error
        begun = OpenFlow(
            kind=_DEVICE,
            expires_ms=now_ms + min(life * 1000, FLOW_MS),
            device_code=code,
            source=source,
            every_ms=max(1, every) * 1000,
        )
        state = secrets.token_bytes(16)
        self._flows.keep(state, begun)
        return OidcFlow(state, url, shown, every, life)

    def complete(self, state: bytes, answer: str, source: str, now_ms: int) -> Authenticated | None:
        """The person; None while a device flow waits.

        1. the state is of a flow begun here, which is spent by it, a device flow by the address
        `source` that finishes it; 2. the provider gives a token
        for the code and the verifier; 3. its ID token is signed by the provider's key with an
        asymmetric algorithm, for this client, alive, issued by this issuer; a provider that gives
        none in a device flow, which RFC 8628 leaves open, is asked whose the access token is
        (OpenID Connect Core, 5.3); 4. a code flow's carries its nonce.
        Raises Refused (SIGN_IN), Unavailable.
        """
        flow = self._flows.get(state)
        if flow is None or flow.expires_ms <= now_ms:  # 1
            self._flows.take(state)
            raise _not_begun()
        if flow.kind == _DEVICE and flow.source != source:
            wanted = "a device flow's end at the address that began it"
            raise Refused.of(Reason.SIGN_IN, wanted, "another address", "begin it again from here")
        if now_ms < flow.next_ms:  # who asks us more often than the provider wants asks only us
            return None
        token = self._token(state, flow, answer, now_ms)  # 2
        if token is None:
            return None
        if flow.kind == _DEVICE and not token.get("id_token"):  # 3
            claims = self._whose(str(token.get("access_token", "")))
        else:
            claims = self._verified(str(token.get("id_token", "")))
        if flow.kind == _CODE and claims.get("nonce") != flow.nonce:  # 4
            expected = "an ID token made for this sign-in"
            raise Refused.of(Reason.SIGN_IN, expected, "one made for another")
        return Authenticated(str(claims["sub"]), authenticated_ms(claims, now_ms))

    def _token(
        self, state: bytes, flow: OpenFlow, answer: str, now_ms: int
    ) -> Mapping[str, Any] | None:
        """What the provider gives for the flow, which is spent; None where it is to wait."""
        if flow.kind == _CODE and self._flows.take(state) is None:
            raise _not_begun()  # somebody else was faster
        try:
            token = self._fetch(flow, answer)
        except OAuthError as error:
            if flow.kind == _DEVICE and error.error in _WAITING:
                every = flow.every_ms + (SLOWER_MS if error.error == "slow_down" else 0)
                self._flows.keep(state, replace(flow, every_ms=every, next_ms=now_ms + every))
                return None
            self._flows.take(state)
            raise Refused.of(
                Reason.SIGN_IN,
                "a token from the provider",
                f"{error.error}"[:80],
                "framegate login --oidc, and allow it in the browser",
            ) from error
        except _NO_ANSWER as error:
            raise self._unavailable(error) from error
        self._flows.take(state)
        return token

    def _fetch(self, flow: OpenFlow, answer: str) -> Mapping[str, Any]:
        with self._client(flow.redirect) as client:
            endpoint = self._endpoint("token_endpoint")
            if flow.kind == _DEVICE:
                reply = client.fetch_token(
                    endpoint,
                    grant_type=_DEVICE_GRANT,
                    device_code=flow.device_code,
                    client_id=self._settings.client_id,
                )
            else:
                reply = client.fetch_token(
                    endpoint,
                    grant_type="authorization_code",
                    code=answer[:MAX_CODE],
                    code_verifier=flow.verifier,
                )
        token: Mapping[str, Any] = reply
        return token

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            jwks = self._get(self._endpoint("jwks_uri")).json()
            keys = jwt.PyJWKSet.from_dict(jwks)
            kid = jwt.get_unverified_header(token).get("kid")
            usable = [k for k in keys.keys if kid is None or k.key_id == kid]
            if len(usable) != 1:
                expected = "an ID token by one of the provider's keys"
                raise Refused.of(Reason.SIGN_IN, expected, "by another")
            claims = jwt.decode(
                token,
                usable[0].key,
                algorithms=list(ALGORITHMS),
                audience=self._settings.client_id,
                issuer=self.issuer,
                leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.PyJWTError as error:
            expected = "an ID token of this provider, for this client, alive"
            name = type(error).__name__
            raise Refused.of(Reason.SIGN_IN, expected, name, "check both clocks") from error
        except _NO_ANSWER as error:
            raise self._unavailable(error) from error
        return dict(claims)

    def _whose(self, access_token: str) -> dict[str, Any]:
        """What the provider says of the person whom a token is of that it gave us a moment ago."""
        bearer = {"Authorization": f"Bearer {access_token}"}
        try:
            answer = self._get(self._endpoint("userinfo_endpoint"), headers=bearer)
            body = answer.json() if answer.ok else {}
        except _NO_ANSWER as error:
            raise self._unavailable(error) from error
        known = isinstance(body, dict) and isinstance(body.get("sub"), str)
        if not known or not body["sub"]:
            expected = "the subject of the token that was given"
            hint = "the provider must allow the openid scope in device flows"
            raise Refused.of(Reason.SIGN_IN, expected, f"HTTP {answer.status_code}", hint)
        claims: dict[str, Any] = body
        return claims

    def _endpoint(self, name: str) -> str:
        if not self._metadata:
            self._metadata = self._read_metadata()
        endpoint = self._metadata.get(name)
        if not isinstance(endpoint, str):
            hint = "use the other flow, or another provider"
            raise Unavailable.of(Reason.SIGN_IN, f"a provider with {name}", "one without", hint)
        return endpoint

    def _read_metadata(self) -> dict[str, Any]:
        try:
            body = self._get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration").json()
        except _NO_ANSWER as error:
            raise self._unavailable(error) from error
        if isinstance(body, dict) and body.get("issuer") == self.issuer:
            return body
        said = str(body.get("issuer") if isinstance(body, dict) else body)
        raise Unavailable.of(
            Reason.SIGN_IN, f"metadata of {self.issuer}", clipped(ascii(said), 100)
        )

    def _get(self, url: str, **how: Any) -> requests.Response:
        with bounded(requests.Session(), self._verify) as session:
            return session.get(url, **how)

    def _client(self, redirect: str) -> Any:
        s = self._settings
        client = OAuth2Session(
            s.client_id,
            s.client_secret or None,
            scope="openid",
            redirect_uri=redirect or None,
            code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if s.client_secret else "none",
        )
        return bounded(client, self._verify)

    @property
    def _verify(self) -> str | bool:
        return str(self._settings.ca) if self._settings.ca else True

    def _unavailable(self, error: Exception) -> Unavailable:
        expected, hint = f"an answer of {self.issuer}", "is it reachable from the controller?"
        name = type(error).__name__
        return Unavailable.of(
            Reason.SIGN_IN, expected, name, f"{hint} framegate login NAME needs none"
        )


def authenticated_ms(claims: Mapping[str, Any], now_ms: int) -> int:
    """When the provider saw the person: `auth_time` where it says so, else now.

    Never later than now (OpenID Connect Core, 2).
    """
    said = claims.get("auth_time")
    if not isinstance(said, int | float) or not 0 < said < now_ms / 1000:  # NaN is in no range
        return now_ms
    return int(said * 1000)


def _not_begun() -> Refused:
    return Refused.of(
        Reason.SIGN_IN,
        "a sign-in that was begun here",
        "none, used, or too late",
        "framegate login --oidc",
    )
