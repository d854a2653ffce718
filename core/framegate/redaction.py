"""Text without the credentials of addresses in it.

Errors and logs name the address that something is wrong with; a camera's holds its password, and
logs go to journals and into support bundles. What is masked is masked wider rather than narrower.
"""

from __future__ import annotations

import re
from typing import Final

MASK: Final = "***"
_USERINFO: Final = re.compile(
    r"(?P<scheme>\b[A-Za-z][A-Za-z0-9+.-]{0,30}://)"
    r"(?P<info>[^\s/?#@]*[@:]\S*@|[^\s/?#@]*@)"
)
"""RFC 3986, 3.2.1, and what people type: to the last @ of the word, for a password may have its own
@ / ? # unencoded.
"""
_NAMED: Final = re.compile(
    r"(?i)(?P<name>[?&;](?:pass(?:word|wd|phrase)?|pwd|pin(?:-value)?|secret|token|access_token|"
    r"(?:api_?|auth_?)?key|auth|sig(?:nature)?)=)(?P<value>[^&;\s]+)"
)
"""Credentials in a query (RFC 3986, 3.4) or among a URI's attributes (RFC 7512, 2.4)."""
_RESERVED: Final = frozenset("@:/?#")
ENCODED: Final = "@ : / ? # in a password are written as %40 %3A %2F %3F %23"


def redacted(text: str) -> str:
    """`text` as it may be shown: of credentials in addresses the user's name alone is left."""
    if "://" in text:
        text = _USERINFO.sub(_masked, text)
    if "=" in text:
        text = _NAMED.sub(rf"\g<name>{MASK}", text)
    return text


def clipped(text: str, most: int) -> str:
    """The first `most` characters of `text` as it may be shown: cut after it was masked, for half
    an address has no end by which a password in it is found.
    """
    return redacted(text)[:most]


def holds_credentials(text: str) -> bool:
    """Whether `text` is an address, or has one in it, with a password or a token."""
    userinfo = userinfo_of(text)
    return (userinfo is not None and userinfo[1] != "") or _NAMED.search(text) is not None


def userinfo_of(address: str) -> tuple[str, str] | None:
    """User and password in an address as they were meant; None where there are none.

    A host with a port, and a path with an @ in it, are no user with a password.
    """
    scheme, mark, rest = address.partition("://")
    before, at, _ = rest.rpartition("@")
    if not mark or not at or not scheme:
        return None
    user, colon, password = before.partition(":")
    if re.search(r"[/?#]", user) or (colon and re.match(r"\d{1,5}[/?#]", password)):
        return None
    return user, password


def is_encoded(address: str) -> bool:
    """Whether user and password of an address are written so that every reader finds its host."""
    userinfo = userinfo_of(address)
    return userinfo is None or not _RESERVED & set("".join(userinfo))


def _masked(match: re.Match[str]) -> str:
    user, colon, _ = match["info"].partition(":")
    shown = f"{user}:" if colon and "@" not in user else ""  # a user alone may be a token
    return f"{match['scheme']}{shown}{MASK}@"
