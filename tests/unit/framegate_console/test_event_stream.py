"""Events of a stream, plain and packed: what a browser unpacks is what was said, as it is said."""

import zlib

from hypothesis import given
from hypothesis import strategies as st

from framegate_console.event_stream import GONE, GZIP_HEAD, RETRY, STILL_HERE, WELL, Event, event


@given(st.lists(st.text(max_size=300), min_size=1, max_size=12))
def test_each_event_is_unpacked_at_once_whatever_was_sent_before(texts):
    """A window that came later has its own events before it, and none of another window's."""
    sent = [RETRY, *(event("", text) for text in texts), WELL, STILL_HERE, GONE]
    for begun in (0, len(sent) // 2):
        unpacking = zlib.decompressobj(zlib.MAX_WBITS | 16)
        assert unpacking.decompress(GZIP_HEAD) == b""
        for each in sent[begun:]:
            assert unpacking.decompress(each.packed) == each.plain
        assert not unpacking.eof and not unpacking.unused_data


def test_an_event_is_packed_once_and_small():
    page = event("", "<li>a camera of many</li>\n" * 1_000)
    assert page.packed is page.packed and len(page.packed) < len(page.plain) / 20


def test_events_are_the_same_by_what_they_say():
    assert event("", "a") == event("", "a") != event("", "b")
    assert hash(event("", "a")) == hash(Event(b"data: a\n\n")) and event("x", "y") != b"event: x\n"
    assert event("well", "-").plain == b"event: well\ndata: -\n\n"
