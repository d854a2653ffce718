"""Plain entries, read side by side and remembered, are what reading one by one makes of them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from framegate.errors import FramegateError
from framegate.ima import binary_list, parse_ima, plain
from framegate.ima.earlier import PlainPart, forget_lists, plain_part
from framegate.ima.entry import ImaEntries, ImaEntry, empty_columns
from support.evidence_corpus import changed, seeded
from support.hostile_lists import entry, lists, names, with_a_lie

FILES = names(40)
PLAIN = b"".join(entry(n, template=(b"ima-ng", b"ima-sig")[k % 2]) for k, n in enumerate(FILES))


def said(data: bytes):
    try:
        read = parse_ima(data)
    except FramegateError as error:
        return [str(f) for f in error.failures]
    return tuple(read.entries), read.width, read.padding


def one_by_one(data: bytes, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            binary_list,
            "plain_part",
            lambda _data, at, _hashed, _most: PlainPart(at, empty_columns()),
        )
        return said(data)


def with_a_wrong_hash(data: bytes) -> bytes:
    """`PLAIN`, or many of it, with another template hash in the last entry."""
    at = len(data) - len(entry(FILES[-1], template=b"ima-sig")) + 10
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def known() -> int:
    return sum(map(len, plain._KNOWN.values()))


@pytest.fixture(autouse=True)
def forgetting():
    forget_lists()
    yield
    forget_lists()


@pytest.mark.parametrize(("name", "data"), [(n, d) for n, d in lists() if "kept" not in n])
def test_lists_are_read_as_one_by_one_first_and_again(name, data, monkeypatch):
    wanted = one_by_one(data, monkeypatch)
    assert said(data) == wanted and said(data) == wanted
    for seed in range(15):
        other = changed(data, seeded(f"plain {name} {seed}"))
        assert said(other) == one_by_one(other, monkeypatch), seed


def test_one_lie_among_plain_entries_is_told_as_one_by_one(monkeypatch):
    kinds = set()
    for seed in range(200):
        data = with_a_lie(seeded(f"a lie {seed}"))
        wanted = one_by_one(data, monkeypatch)
        assert said(data) == wanted and said(data) == wanted, seed
        kinds.add(type(wanted))
    assert kinds == {tuple, list}  # some are read, some refused


def test_n60_whatever_is_remembered_no_byte_of_an_entry_can_be_changed():
    few = b"".join(
        entry(n, template=(b"ima-ng", b"ima-sig")[k % 2]) for k, n in enumerate(FILES[:4])
    )
    honest = said(few)
    assert known() == 4
    for at in range(len(few)):
        other = bytearray(few)
        other[at] ^= 1 << at % 8
        assert said(bytes(other)) != honest, at
    assert said(few) == honest


def test_what_is_refused_is_not_remembered():
    """True entries before it are, as in any list."""
    lie = with_a_wrong_hash(PLAIN)
    assert not isinstance(said(lie), tuple)
    assert known() < len(FILES)
    assert not any(e == lie[-len(e) :] for by in plain._KNOWN.values() for e in by)


def test_memory_is_bounded_by_number_and_size(monkeypatch):
    monkeypatch.setattr(plain, "REMEMBERED", 30)
    assert len(said(PLAIN[: len(PLAIN) // 2])[0]) and 0 < known() <= 30
    wanted = said(PLAIN)  # more than there is room for
    assert known() <= 30 and len(wanted[0]) == len(FILES)
    monkeypatch.setattr(plain, "REMEMBERED", 1000)
    forget_lists()
    long = entry(b"/" + b"x" * 4000)
    assert len(said(PLAIN + long)[0]) == len(FILES) + 1
    assert known() == len(FILES)
    assert said(PLAIN + long) == said(PLAIN + long)


def test_a_list_of_other_entries_is_not_looked_at_twice(monkeypatch):
    asked = []

    def counted(*given):
        asked.append(given[1])
        return plain_part(*given)

    monkeypatch.setattr(binary_list, "plain_part", counted)
    signed = [entry(n, template=b"ima-sig", signature=b"\3\2" + bytes(70)) for n in names(4000)]
    assert len(parse_ima(b"".join(signed)).entries) == 4000 and len(asked) < 40
    asked.clear()
    assert not isinstance(said(with_a_wrong_hash(PLAIN * 50)), tuple) and len(asked) < 9


def test_entries_are_a_sequence():
    entries = parse_ima(PLAIN + entry(b"/s", template=b"ima-sig", signature=b"\3\2")).entries
    whole = tuple(entries)
    assert all(isinstance(e, ImaEntry) for e in whole) and len(whole) == len(entries) == 41
    assert list(entries.special) == [40] and entries[40] == entries[-1] == whole[-1]
    for part in (slice(5), slice(3, -1), slice(-2, None), slice(None, None, 3), slice(9, 9)):
        assert tuple(entries[part]) == whole[part] == entries[part]
        assert entries[part].paths == [e.path for e in whole[part]]
    assert entries[:] is entries and entries == ImaEntries.of(whole) and entries != whole[:-1]
    assert entries != list(whole) and whole[3] in entries
    with pytest.raises(IndexError):
        entries[41]
    with pytest.raises(TypeError):
        hash(entries)


@given(st.lists(st.sampled_from(range(6)), max_size=30))
def test_entries_say_the_same_wherever_they_are_kept(kinds):
    forms = (
        {},
        {"template": b"ima-sig"},
        {"violation": True},
        {"pcr": 11},
        {"algorithm": b"sha1"},
        {"template": b"ima-sig", "signature": b"\3\2"},
    )
    data = b"".join(entry(FILES[n], **forms[kind]) for n, kind in enumerate(kinds))
    if not data:
        return
    entries = parse_ima(data).entries
    whole = ImaEntries.of(tuple(entries))
    assert entries.violations == whole.violations == kinds.count(2)
    assert entries.pcrs == whole.pcrs and entries.sha256s == whole.sha256s
    assert entries.paths == whole.paths == [FILES[n] for n in range(len(kinds))]
