"""`[ima]` of a profile: what may run after boot, and what must have been measured."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any, Final

from framegate.ima.judge import ImaRules, honest, key_id
from framegate.ima.template import kernel_name
from framegate.profile.members import bad, digests_of, member, strings, table_of

MAX_REQUIRED: Final = 4_096
"""Files that must have been measured: our own are some hundred; each is looked for in every whole
list.
"""


def parse_ima_rules(body: dict[str, Any], *, padded: bool) -> ImaRules:
    """The table `[ima]` of a profile; `padded` as its quirk says. Raises Malformed."""
    table = table_of(
        body,
        "ima",
        {"allowlists", "max_violations", "exclude", "signed", "keys", "measured", "required"},
    )
    folders = {
        name: tuple(_folder(v) for v in (strings(table, name) if name in table else []))
        for name in ("exclude", "signed", "measured")
    }
    keys: dict[bytes, Any] = {}
    for pem in strings(table, "keys") if "keys" in table else []:
        try:
            identifier, key = key_id(pem.encode())
        except Exception as error:
            raise bad("keys as PEM public keys, RSA or ECC", type(error).__name__) from error
        keys[identifier] = key
    if bool(folders["signed"]) != bool(keys):
        raise bad("signed and keys together", sorted(table))
    most = member(table, "max_violations", int)
    if most < 0:
        raise bad("max_violations of 0 or more", most)
    lists = [v.removeprefix("sha256:") for v in strings(table, "allowlists")]
    if any(len(v) != 64 for v in lists):
        raise bad("allowlists as sha256:HEX", lists[0])
    return ImaRules(
        tuple(sorted(digests_of(lists, 32, "allowlists"))),
        most,
        folders["exclude"],
        folders["signed"],
        MappingProxyType(keys),
        folders["measured"],
        padded,
        _required(table),
    )


def _required(table: dict[str, Any]) -> tuple[bytes, ...]:
    paths = strings(table, "required") if "required" in table else []
    dishonest = [p for p in paths if not honest(p.encode())]
    if dishonest or len(paths) > MAX_REQUIRED or len(set(paths)) < len(paths):
        wanted = f"required as at most {MAX_REQUIRED} absolute paths, each once"
        raise bad(wanted, dishonest[0] if dishonest else len(paths))
    return tuple(p.encode() for p in paths)


def _folder(text: str) -> bytes:
    if (
        not text.startswith("/")
        or not text.endswith("/")
        or ".." in text
        or "//" in text
        or text == "/"
    ):
        raise bad("a folder as /…/", text)
    return kernel_name(text.encode())
