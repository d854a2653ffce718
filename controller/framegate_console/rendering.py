"""Pages out of templates. Whatever they show is text: escaped, and without what steers a screen."""

from __future__ import annotations

import gzip
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from importlib.resources import files
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from framegate.errors import Malformed
from framegate.identity.names import split_device_id
from framegate_console.wording import Words
from framegate_host.printing import printable

STATIC: Final = MappingProxyType(
    {
        "htmx.js": ("vendor/htmx.min.js", "vendor/hx-csp.min.js", "vendor/hx-sse.min.js"),
        "console.js": ("console.js",),
        "keys.js": ("keys.js",),
        "regions.js": ("regions.js",),
        "verdict.js": ("verdict.js",),
        "verifier.js": ("verifier.js",),
        "console.css": ("console.css",),
        "icon.svg": ("icon.svg",),
    }
)
"""Every file that browsers may have, and nothing beside them; each out of one or several. htmx
comes with its gate and its stream as one: it begins with a page as soon as the browser is idle, and
what comes after that is not asked any more, neither the gate nor the stream.
"""
_TYPES: Final = MappingProxyType(
    {"js": "text/javascript", "css": "text/css", "svg": "image/svg+xml"}
)


@dataclass(frozen=True, slots=True)
class StaticFile:
    """A file as it is sent: gzip, its type, and its address, which names its content."""

    body: bytes
    kind: str
    address: str


@cache
def static_files() -> Mapping[str, StaticFile]:
    """Every static file by its name. They are compressed once; nothing in them is a secret."""
    sent = {}
    folder = files("framegate_console") / "static"
    for name, paths in STATIC.items():
        body = b"\n".join((folder / path).read_bytes() for path in paths)
        address = f"/static/{sha256(body).hexdigest()[:16]}/{name}"
        kind = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"
        sent[name] = StaticFile(gzip.compress(body, 9, mtime=0), kind, address)
    return MappingProxyType(sent)


@cache
def templates() -> Environment:
    """The templates. Every value is escaped, and printable: a name that a machine chose can neither
    be markup nor turn the text around it.
    """
    made = Environment(
        loader=PackageLoader("framegate_console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    made.filters |= {"at": at, "fragment": fragment, "when": when, "short": short, "name": name_of}
    made.globals |= {"static": lambda name: static_files()[name].address}
    return made


class Fragments:
    """Pieces of pages by all that they show, made once for every window of everybody: whoever is
    shown one has been told the same by the fleet, with their own right.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._made: OrderedDict[Hashable, Markup] = OrderedDict()
        self.rendered = 0

    def of(self, key: Hashable, template: str, words: Words, members: Mapping[str, Any]) -> Markup:
        """`template` in one language; `key` MUST hold everything of `members` that it shows."""
        whole = (template, words.language, key)
        made = self._made.get(whole)
        if made is None:
            self.rendered += 1
            # a template escapes what it shows by itself
            made = self._made[whole] = Markup(rendered(template, words, members))  # noqa: S704
            if len(self._made) > self._most:
                self._made.popitem(last=False)
        else:
            self._made.move_to_end(whole)
        return made


FRAGMENTS: Final = Fragments(2_048)
"""Some kilobyte each: a page of four hundred cameras, and what changed in them of late."""


def rendered(template: str, words: Words, members: Mapping[str, Any]) -> str:
    """`template` in one language."""
    return templates().get_template(template).render(w=words, **members)


def fragment(shown: Any, template: str, words: Words) -> Markup:
    """What has a `key` of all that `template` shows of it, as a piece of a page; it is called `it`
    there.
    """
    return FRAGMENTS.of(shown.key, template, words, {"it": shown})


def at(value: object) -> str:
    """A name as one step of an address: none leads to another page, whatever it is made of."""
    text = str(value)
    # browsers take dots for a step up, quoted or not
    return "-" if text in {".", ".."} else quote(text, safe="")


def when(ms: int, form: str = "at") -> Markup:
    """A moment, which the browser shows in its own zone: `at` date and time, `ago` how long it is
    since then or until then.
    """
    if not ms:
        return Markup("–")
    at = datetime.fromtimestamp(ms / 1000, UTC)
    return Markup('<time datetime="{}" data-form="{}">{} UTC</time>').format(
        at.isoformat(timespec="milliseconds"), form, f"{at:%Y-%m-%d %H:%M:%S}"
    )


def short(text: str, most: int = 12) -> str:
    """The beginning of an id or a digest."""
    return text[:most]


def name_of(device: str) -> str:
    """A machine's own name out of its id; the text itself where it is none."""
    try:
        return split_device_id(device).name
    except Malformed:
        return device


def _shown(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return "\n".join(map(printable, value.split("\n")))
