"""OpenID Connect: authorization code with PKCE, and device code (RFC 8628). The provider says who it is; what they may do is ours."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import jwt
import requests
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from framegate.errors import Malformed, Reason, Refused, Unavailable

TIMEOUT_S: Final = 10.0
FLOW_MS: Final = 600_000
"""From the browser's start to its return."""
MAX_FLOWS: Final = 1_000
ALGORITHMS: Final = ("RS256", "ES256", "PS256", "EdDSA")
"""Asymmetric ones alone: what is signed with a shared secret proves nothing here."""
LEEWAY_S: Final = 30
SLOWER_MS: Final = 5_000
"""What "slow down" adds between two questions (RFC 8628, 3.5)."""
_DEVICE: Final = "urn:ietf:params:oauth:grant-type:device_code"
_WAITING: Final = {"authorization_pending", "slow_down"}


@dataclass(frozen=True, slots=True)
class OidcSettings:
    """Whom to ask. `ca` is a PEM file of the provider's CA, where it is not a public one."""

    issuer: str
    client_id: str
    client_secret: str = ""
    ca: Path | None = None


@dataclass(frozen=True, slots=True)
class OidcFlow:
    """A sign-in that was begun: where to send the person, and for a device flow what they type there."""

    state: bytes
    url: str
    user_code: str = ""
    interval_s: int = 5
    expires_s: int = FLOW_MS // 1000


@dataclass(slots=True)
class _Open:
    kind: str
    verifier: str
    nonce: str
    redirect: str
    device_code: str
    expires_ms: int
    every_ms: int = 0
    next_ms: int = 0


class OidcProvider:
    """One provider. Its metadata is read at the first use and must name the issuer it was asked as."""

    def __init__(self, settings: OidcSettings) -> None:
        parts = urlsplit(settings.issuer)
        local = parts.hostname in {"127.0.0.1", "localhost", "::1"}
        if parts.scheme != "https" and not (parts.scheme == "http" and local):
            raise Malformed.of(Reason.USAGE, "an issuer's https:// address", ascii(settings.issuer[:100]))
        self.issuer, self._settings = settings.issuer, settings
        self._metadata: dict[str, Any] = {}
        self._flows: OrderedDict[bytes, _Open] = OrderedDict()

    def begin(self, flow: str, redirect: str, now_ms: int) -> OidcFlow:
        """Begin a `code` or `device` flow; the provider is asked to see the person anew, not a cookie.

        The PKCE verifier and the nonce stay here: the person's machine only carries the code. Raises Malformed, Unavailable.
        """
        if flow == "device":
            return self._begin_device(now_ms)
        target = urlsplit(redirect)
        if flow != "code" or target.scheme != "http" or target.hostname not in {"127.0.0.1", "localhost"}:
            raise Malformed.of(Reason.USAGE, "flow code with a redirect to http://127.0.0.1:PORT/, or flow device", ascii(f"{flow} {redirect}"[:100]))
        verifier, nonce, state = secrets.token_urlsafe(48), secrets.token_urlsafe(24), secrets.token_bytes(16)
        with self._client(redirect) as client:
            url, _ = client.create_authorization_url(self._endpoint("authorization_endpoint"), state=state.hex(), code_verifier=verifier, nonce=nonce, prompt="login")
        return OidcFlow(self._keep(state, _Open("code", verifier, nonce, redirect, "", now_ms + FLOW_MS)), url)

    def _begin_device(self, now_ms: int) -> OidcFlow:
        data = {"client_id": self._settings.client_id, "scope": "openid"}
        try:
            answer = requests.post(self._endpoint("device_authorization_endpoint"), data=data, timeout=TIMEOUT_S, verify=self._verify)
            body = answer.json()
            code, shown, url = body["device_code"], str(body["user_code"]), str(body.get("verification_uri_complete") or body["verification_uri"])
            life, every = int(body.get("expires_in", 600)), int(body.get("interval", 5))
        except (requests.RequestException, ValueError, KeyError, TypeError) as error:
            raise self._unavailable(error) from error
        state = self._keep(secrets.token_bytes(16), _Open("device", "", "", "", code, now_ms + min(life * 1000, FLOW_MS), max(1, every) * 1000))
        return OidcFlow(state, url, shown, every, life)

    def complete(self, state: bytes, answer: str, now_ms: int) -> dict[str, Any] | None:
        """Claims of the person; None while a device flow waits.

        1. the state is of a flow begun here, which is spent by it; 2. the provider gives a token for the code and the verifier; 3. its ID token is
        signed by the provider's key with an asymmetric algorithm, for this client, alive, issued by this issuer; a provider that gives none in a
        device flow, which RFC 8628 leaves open, is asked whose the access token is (OpenID Connect Core, 5.3); 4. a code flow's carries its nonce.
        Raises Refused (SIGN_IN), Unavailable.
        """
        flow = self._flows.get(state)
        if flow is None or flow.expires_ms <= now_ms:  # 1
            self._flows.pop(state, None)
            raise Refused.of(Reason.SIGN_IN, "a sign-in that was begun here", "none, used, or too late", "framegate login --oidc")
        if now_ms < flow.next_ms:  # whoever asks us more often than the provider wants does not ask it
            return None
        try:
            with self._client(flow.redirect) as client:  # 2
                if flow.kind == "device":
                    token = client.fetch_token(self._endpoint("token_endpoint"), grant_type=_DEVICE, device_code=flow.device_code, client_id=self._settings.client_id)
                else:
                    self._flows.pop(state, None)
                    token = client.fetch_token(self._endpoint("token_endpoint"), grant_type="authorization_code", code=answer[:4096], code_verifier=flow.verifier)
        except OAuthError as error:
            if flow.kind == "device" and error.error in _WAITING:
                flow.every_ms += SLOWER_MS if error.error == "slow_down" else 0
                flow.next_ms = now_ms + flow.every_ms
                return None
            self._flows.pop(state, None)
            raise Refused.of(Reason.SIGN_IN, "a token from the provider", f"{error.error}"[:80], "framegate login --oidc, and allow it in the browser") from error
        except (requests.RequestException, ValueError) as error:
            raise self._unavailable(error) from error
        self._flows.pop(state, None)
        if flow.kind == "device" and not token.get("id_token"):  # 3
            return self._whose(str(token.get("access_token", "")))
        claims = self._verified(str(token.get("id_token", "")))
        if flow.kind == "code" and claims.get("nonce") != flow.nonce:  # 4
            raise Refused.of(Reason.SIGN_IN, "an ID token made for this sign-in", "one made for another")
        return claims

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            keys = jwt.PyJWKSet.from_dict(requests.get(self._endpoint("jwks_uri"), timeout=TIMEOUT_S, verify=self._verify).json())
            kid = jwt.get_unverified_header(token).get("kid")
            usable = [k for k in keys.keys if kid is None or k.key_id == kid]
            if len(usable) != 1:
                raise Refused.of(Reason.SIGN_IN, "an ID token by one of the provider's keys", "by another")
            return dict(jwt.decode(
                token, usable[0].key, algorithms=list(ALGORITHMS), audience=self._settings.client_id, issuer=self.issuer, leeway=LEEWAY_S,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            ))  # fmt: skip
        except jwt.PyJWTError as error:
            raise Refused.of(Reason.SIGN_IN, "an ID token of this provider, for this client, alive", type(error).__name__, "check both clocks") from error
        except (requests.RequestException, ValueError) as error:
            raise self._unavailable(error) from error

    def _whose(self, access_token: str) -> dict[str, Any]:
        """What the provider says of the person this token, which it gave us a moment ago, is of."""
        try:
            answer = requests.get(self._endpoint("userinfo_endpoint"), headers={"Authorization": f"Bearer {access_token}"}, timeout=TIMEOUT_S, verify=self._verify)
            body = answer.json() if answer.ok else {}
        except (requests.RequestException, ValueError) as error:
            raise self._unavailable(error) from error
        if not isinstance(body, dict) or not isinstance(body.get("sub"), str) or not body["sub"]:
            raise Refused.of(Reason.SIGN_IN, "the subject of the token that was given", f"HTTP {answer.status_code}", "the provider must allow the openid scope in device flows")
        return body

    def _endpoint(self, name: str) -> str:
        if not self._metadata:
            try:
                body = requests.get(f"{self.issuer.rstrip('/')}/.well-known/openid-configuration", timeout=TIMEOUT_S, verify=self._verify).json()
            except (requests.RequestException, ValueError) as error:
                raise self._unavailable(error) from error
            if not isinstance(body, dict) or body.get("issuer") != self.issuer:
                raise Unavailable.of(Reason.SIGN_IN, f"metadata of {self.issuer}", ascii(str(body.get("issuer") if isinstance(body, dict) else body)[:100]))
            self._metadata = body
        found = self._metadata.get(name)
        if not isinstance(found, str):
            raise Unavailable.of(Reason.SIGN_IN, f"a provider with {name}", "one without", "use the other flow, or another provider")
        return found

    def _client(self, redirect: str) -> Any:
        s = self._settings
        client = OAuth2Session(
            s.client_id, s.client_secret or None, scope="openid", redirect_uri=redirect or None, code_challenge_method="S256",
            token_endpoint_auth_method="client_secret_basic" if s.client_secret else "none", default_timeout=TIMEOUT_S,
        )  # fmt: skip
        client.verify = self._verify
        return client

    @property
    def _verify(self) -> str | bool:
        return str(self._settings.ca) if self._settings.ca else True

    def _keep(self, state: bytes, flow: _Open) -> bytes:
        if len(self._flows) >= MAX_FLOWS:
            self._flows.popitem(last=False)
        self._flows[state] = flow
        return state

    def _unavailable(self, error: Exception) -> Unavailable:
        return Unavailable.of(Reason.SIGN_IN, f"an answer of {self.issuer}", type(error).__name__, "is it reachable from the controller? framegate login NAME needs none")


def authenticated_ms(claims: Mapping[str, Any], now_ms: int) -> int:
    """When the provider saw the person: `auth_time` where it says so, else now; never later than now (OpenID Connect Core, 2)."""
    said = claims.get("auth_time")
    return min(now_ms, int(said * 1000)) if isinstance(said, int | float) and said > 0 else now_ms
