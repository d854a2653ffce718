"""Files that browsers get: those that are meant, of the origin that is told, and small."""

import gzip
import hashlib

from framegate_console.rendering import STATIC, static_files
from support.paths import ROOT

FOLDER = ROOT / "controller/framegate_console/static"
VENDORED = {
    # htmx.org 4.0.1, Zero-Clause BSD, from its npm package: dist/, dist/ext/
    "htmx.min.js": "a0abb04f2f45a1f89d1d4844023245537e5e6014c87b144553e0607b4cc32130",
    "hx-csp.min.js": "a7e1e6711ae6c3e50ad300fba7936cbe8d07599cdae313414a179ddd6b26e143",
    "hx-sse.min.js": "18ef2761356ec1fe0bb6d92612315b37517a7c1e9856b661c5ae81fef239d103",
    "htmx.LICENSE": "d3d2456f76414f2456104660ebd65aff1c04cd7966b942bdabd63f3cdb316a38",
}
FIRST_LOAD = 150_000


def test_what_others_wrote_is_what_they_published_with_its_licence_beside():
    folder = FOLDER / "vendor"
    assert {p.name for p in folder.iterdir()} == set(VENDORED)
    for name, digest in VENDORED.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name


def test_every_file_is_sent_whole_under_an_address_that_names_its_content():
    for name, file in static_files().items():
        body = b"\n".join((FOLDER / path).read_bytes() for path in STATIC[name])
        assert gzip.decompress(file.body) == body
        assert file.address == f"/static/{hashlib.sha256(body).hexdigest()[:16]}/{name}"


def test_htmx_does_not_begin_before_its_gate_and_its_stream_are_there():
    """It begins with a page in a task of its own, which runs between two scripts where the second
    is late: the page would never be live, and nothing would ask for the nonce of its parts.
    """
    vendored = [n for n in VENDORED if n.endswith(".js")]
    body = gzip.decompress(static_files()["htmx.js"].body)
    assert body == b"\n".join((FOLDER / "vendor" / name).read_bytes() for name in vendored)
    assert all((FOLDER / "vendor" / name).read_bytes().endswith(b";") for name in vendored)
    page = (FOLDER.parent / "templates/page.html").read_text()
    assert page.count("htmx.js") == 1 and "hx-csp.js" not in page and "hx-sse.js" not in page


def test_a_first_load_is_small():
    assert sum(len(f.body) for f in static_files().values()) < FIRST_LOAD / 2


def test_no_file_names_another_origin():
    for name in ("console.js", "keys.js", "regions.js", "console.css", "icon.svg"):
        text = (FOLDER / name).read_text().replace("http://www.w3.org/2000/svg", "")
        assert "//" not in text.replace("// ", "").replace("/*", "") or "http" not in text
        assert "http:" not in text and "https:" not in text and "innerHTML" not in text
        assert "eval(" not in text and "@import" not in text
