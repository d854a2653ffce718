"""Entries taken from an earlier list are what reading them anew makes of them."""

import hashlib
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from framegate.errors import FramegateError
from framegate.ima import binary_list, earlier, parse_ima, plain
from framegate.ima.earlier import PlainPart, forget_lists
from framegate.ima.entry import empty_columns
from framegate.tpm.constants import Alg
from support.hostile_lists import entry, names

ENTRIES = [
    entry(n, template=b"ima-sig" if k % 9 == 4 else b"ima-ng") for k, n in enumerate(names(400))
]
LIST = b"".join(ENTRIES)
OTHERS = [entry(b"/opt/own/%d" % n) for n in range(400)]
SPECIAL = (
    entry(b"/signed", template=b"ima-sig", signature=b"\3\2" + bytes(70)),
    entry(b"/open", violation=True),
    entry(b"/elsewhere", pcr=11),
    entry(b"/old", algorithm=b"sha1"),
)


def said(data: bytes):
    try:
        read = parse_ima(data)
    except FramegateError as error:
        return [str(f) for f in error.failures]
    entries = read.entries
    for number, (told, key) in enumerate(zip(entries.datas, entries.keys, strict=True)):
        named = 48 + int.from_bytes(told[44:48], "little")  # an allowlist knows it up to there
        assert key == (told if number in entries.special else told[:named])
    return tuple(entries), entries.sha256s, read.width, read.padding


def one_by_one(data: bytes):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            binary_list,
            "plain_part",
            lambda _data, at, _hashed, _most: PlainPart(at, empty_columns()),
        )
        return said(data)


@dataclass
class Counted:
    """How many entries were read, and how often a place in an earlier list was looked for."""

    read: int = 0
    looked: int = 0


@pytest.fixture
def counted(monkeypatch):
    counts, read, found = Counted(), earlier.plain_run, earlier._found

    def reading(*given):
        run = read(*given)
        counts.read += len(run.columns.datas)
        return run

    def looking(*given):
        counts.looked += 1
        return found(*given)

    monkeypatch.setattr(earlier, "plain_run", reading)
    monkeypatch.setattr(earlier, "_found", looking)
    return counts


@pytest.fixture(autouse=True)
def forgetting():
    forget_lists()
    yield
    forget_lists()


def remembered() -> list[earlier._Earlier]:
    places = [p for by_head in earlier._MEMORY.places.values() for p in by_head.values()]
    return list({id(p.earlier): p.earlier for p in places}.values())


def test_a_list_is_read_once(counted):
    wanted = one_by_one(LIST)
    assert said(LIST) == wanted and counted.read == len(ENTRIES)
    assert said(LIST) == wanted and counted.read == len(ENTRIES)


@pytest.mark.parametrize("width", ["sha1", "sha256", "sha384", "sha512"])
def test_lists_of_every_width_are_taken_again(width, counted):
    data = b"".join(entry(n, width=width) for n in names(150))
    wanted = one_by_one(data)
    assert said(data) == wanted and said(data) == wanted
    assert counted.read == 150


def test_what_changed_alone_is_read_again(counted):
    changes = {
        "the first is another's": [entry(b"boot_aggregate", content=b"mine"), *ENTRIES[1:]],
        "one is new": [*ENTRIES[:200], OTHERS[0], *ENTRIES[200:]],
        "one is missing": [*ENTRIES[:200], *ENTRIES[201:]],
        "two changed places": [*ENTRIES[:200], ENTRIES[201], ENTRIES[200], *ENTRIES[202:]],
        "more at the end": [*ENTRIES, *OTHERS[:20]],
        "its end alone": ENTRIES[320:],
        "another's, then it": [*OTHERS[:25], *ENTRIES],
    }
    for what, entries in changes.items():
        forget_lists()
        said(LIST)
        counted.read, data = 0, b"".join(entries)
        assert said(data) == one_by_one(data), what
        if what not in {"its end alone", "another's, then it"}:
            assert counted.read <= 60, what
        before = counted.read
        assert said(data) == one_by_one(data), what
        assert counted.read - before <= 60, what


def test_parts_between_entries_that_are_not_plain_are_taken_again(counted):
    data = b"".join([*ENTRIES[:120], SPECIAL[0], *ENTRIES[120:200], SPECIAL[1], *ENTRIES[200:]])
    wanted = one_by_one(data)
    assert said(data) == wanted
    counted.read = 0
    assert said(data) == wanted and counted.read < 60


def test_a_part_in_the_middle_is_found_by_its_first_entries(counted):
    said(LIST)
    longer = b"".join([*ENTRIES[:200], *OTHERS[:150], *ENTRIES[200:]])
    wanted = one_by_one(longer)
    assert said(longer) == wanted
    counted.read = 0
    assert said(longer) == wanted and counted.read < 60


def test_n60_no_byte_of_what_is_known_can_be_changed():
    honest = said(LIST)
    for at in range(0, len(LIST), 331):
        other = bytearray(LIST)
        other[at] ^= 1 << at % 8
        changed = bytes(other)
        assert said(changed) == one_by_one(changed) != honest, at
        assert said(LIST) == honest


def test_n60_an_entry_taken_over_with_a_lie_behind_it_is_still_refused():
    """The head of a known entry before other data: found by its head, told by its bytes."""
    said(LIST)
    for number in (0, 1, 31, 200, 399):
        known, other = ENTRIES[number], entry(b"/evil" * 9)
        forged = known[:24] + other[24:]
        data = b"".join([*ENTRIES[:number], forged, *ENTRIES[number + 1 :]])
        told = said(data)
        assert isinstance(told, list) and told == one_by_one(data), number


def test_what_is_known_of_one_algorithm_is_not_of_another():
    """SM3 is as wide as SHA-256: what one of them made must not pass for the other's."""
    if "sm3" not in hashlib.algorithms_available:
        pytest.skip("this OpenSSL has no SM3")
    by_sm3 = [entry(n, width="sm3") for n in names(100)]
    by_sha256 = [entry(n, width="sha256") for n in names(100)]
    assert parse_ima(b"".join(by_sm3)).width == Alg.SM3_256
    assert parse_ima(b"".join(by_sha256)).width == Alg.SHA256
    for mixed in ([by_sm3[0], *by_sha256[1:]], [by_sha256[0], *by_sm3[1:]]):
        told = said(b"".join(mixed))
        assert isinstance(told, list) and told == one_by_one(b"".join(mixed))
    for first in range(20):  # one of them is where what is known of SM3 begins
        assert isinstance(said(b"".join([*by_sha256, *by_sm3[first:]])), list)


def test_what_is_refused_teaches_nothing_untrue():
    lie = bytearray(LIST)
    lie[-200] ^= 1
    for _ in range(2):
        assert isinstance(said(bytes(lie)), list)
        assert said(LIST) == one_by_one(LIST)


def test_who_fills_the_memory_makes_others_dearer_and_never_wrong(monkeypatch, counted):
    monkeypatch.setattr(earlier, "REMEMBERED", 450)
    wanted = one_by_one(LIST)
    assert said(LIST) == wanted
    said(b"".join(OTHERS))  # room for one of them
    assert earlier._MEMORY.entries == 400
    counted.read = 0
    assert said(LIST) == wanted and counted.read == 400
    assert said(LIST) == wanted and counted.read == 400


def test_who_begins_as_others_do_takes_their_place_and_is_never_taken_for_them(counted):
    """The first entries find the last list that had them: what goes on otherwise is read."""
    wanted = one_by_one(LIST)
    assert said(LIST) == wanted
    mimic = b"".join([*ENTRIES[:40], *OTHERS])
    assert said(mimic) == one_by_one(mimic)
    for _ in range(3):
        assert said(LIST) == wanted and said(mimic) == one_by_one(mimic)
    counted.read = 0
    assert said(LIST) == wanted and counted.read < 400


def test_memory_is_bounded(monkeypatch):
    monkeypatch.setattr(earlier, "REMEMBERED", 500)
    for start in range(12):
        part = [entry(b"/%d/%d" % (start, n)) for n in range(180)]
        assert len(said(b"".join(part))[0]) == 180
        assert sum(len(e.ends) - 1 for e in remembered()) <= earlier._MEMORY.entries <= 500
    forget_lists()
    assert said(b"".join([*ENTRIES, *OTHERS])) and not remembered()  # too many for the memory
    monkeypatch.setattr(earlier, "REMEMBERED_BYTES", 40_000)
    for start in range(6):
        said(b"".join(entry(b"/%d/%d" % (start, n) + b"x" * 300) for n in range(70)))
        assert sum(len(e.raw) for e in remembered()) <= earlier._MEMORY.size <= 40_000
    forget_lists()
    assert not remembered() and earlier._MEMORY.entries == earlier._MEMORY.size == 0


def test_a_few_entries_keep_no_whole_list_in_memory():
    """A machine that sends a large list with a few new entries each time, all else known."""
    said(LIST)
    few = [entry(b"/new/%d" % n) for n in range(100)]
    said(b"".join([*ENTRIES[:200], *few, *ENTRIES[200:]]))
    kept = [e for e in remembered() if len(e.raw) < len(LIST)]
    assert kept and all(len(e.raw) <= sum(map(len, few)) + 2 * earlier.MOST_BYTES for e in kept)
    for part in kept:
        assert len(part.columns.datas) == len(part.ends) - 1


def test_a_place_is_not_looked_for_at_every_entry(counted):
    """Whoever mixes what is known with what is not, or plain entries with others."""
    said(LIST)
    mixed = b"".join(b"".join(pair) for pair in zip(ENTRIES, OTHERS, strict=True))
    counted.looked = 0
    assert said(mixed) == one_by_one(mixed)
    assert 0 < counted.looked < 40
    pairs = [ENTRIES[n ^ 1] for n in range(400)]
    counted.looked = 0
    assert said(b"".join(pairs)) == one_by_one(b"".join(pairs))
    assert 0 < counted.looked < 40
    counted.looked = 0
    assert said(mixed[: len(mixed) // 2] + LIST) == one_by_one(mixed[: len(mixed) // 2] + LIST)
    assert 0 < counted.looked < 60


def test_no_more_entries_than_a_list_may_have_come_from_memory(monkeypatch):
    said(LIST)
    for most in (1, 35, 399, 400):
        monkeypatch.setattr(binary_list, "MAX_IMA_ENTRIES", most)
        assert said(LIST) == one_by_one(LIST), most
        assert isinstance(said(LIST), list) == (most < 400)


PIECES = st.one_of(
    st.tuples(st.just("known"), st.integers(0, 399), st.integers(1, 300)),
    st.tuples(st.just("other"), st.integers(0, 399), st.integers(1, 90)),
    st.tuples(st.just("special"), st.integers(0, len(SPECIAL) - 1), st.just(1)),
    st.tuples(st.just("swapped"), st.integers(0, 300), st.integers(2, 60)),
)


def made(pieces) -> bytes:
    out = list[bytes]()
    for kind, at, count in pieces:
        if kind == "special":
            out.append(SPECIAL[at])
        else:
            some = (OTHERS if kind == "other" else ENTRIES)[at : at + count]
            out += some[::-1] if kind == "swapped" else some
    return b"".join(out)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.lists(PIECES, min_size=1, max_size=6), min_size=2, max_size=4),
    st.integers(0, 2**32),
    st.sampled_from(["whole", "cut", "flipped"]),
)
def test_whatever_lists_came_before_each_is_read_as_one_by_one(lists, place, harm):
    forget_lists()
    for pieces in lists:
        data = made(pieces)
        assert said(data) == one_by_one(data)
    data = made(lists[0])
    at = place % len(data)
    if harm == "cut":
        data = data[: max(1, at)]
    elif harm == "flipped":
        data = data[:at] + bytes([data[at] ^ (1 << place % 8)]) + data[at + 1 :]
    assert said(data) == one_by_one(data)
    plain.forget_entries()  # what is known of lists alone
    assert said(data) == one_by_one(data)


EDGES = {
    "LEAST_BYTES": (16, 200, 1024),
    "MOST_BYTES": (300, 2048, 65_536),
    "LONG_BYTES": (1, 512, 8192),
    "NEAR_BYTES": (1, 100, 8192),
    "REMEMBERED": (3, 40, 32_768),
    "REMEMBERED_BYTES": (300, 3000, 8 << 20),
}
HASHES = ("sha1", "sha256", "sha512")


def few(width: str) -> list[bytes]:
    """Entries at the borders: short ones, some around the longest that is remembered, one that no
    window holds, names that look like the head of an entry, and those that are not plain.
    """
    paths = [b"/f%d" % n for n in range(40)] + [b"/n" * half for half in range(196, 224)]
    paths += [b"/long" * 900, b"/ima-" * 9]
    found = [
        entry(path, width=width, template=(b"ima-ng", b"ima-sig")[n % 5 == 3])
        for n, path in enumerate(paths)
    ]
    found.append(entry(b"/signed", width=width, template=b"ima-sig", signature=b"\3\2\0\0\0ima-"))
    return [*found, entry(b"/open", width=width, violation=True), entry(b"/p", width=width, pcr=11)]


FEW = {width: few(width) for width in HASHES}


def bent(width: str, numbers: list[int], change: str, at: int) -> bytes:
    """Those entries, with one thing among them that is not as it was."""
    entries = [FEW[width][n] for n in numbers]
    at %= len(entries)
    if change == "head":  # of one that is known, before the data of another
        cut, other = 4 + hashlib.new(width).digest_size, FEW[width][at % 40]
        entries[at] = entries[at][:cut] + other[cut:]
    elif change in {"bit", "last"}:
        wrong = bytearray(entries[at])
        wrong[at * 7 % len(wrong) if change == "bit" else -1 - at % 5] ^= 1 << at % 8
        entries[at] = bytes(wrong)
    elif change == "swapped":
        entries[at:] = entries[at:][::-1]
    whole = b"".join(entries)
    return whole[: max(1, len(whole) - at)] if change == "cut" else whole


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries({name: st.sampled_from(sizes) for name, sizes in EDGES.items()}),
    st.lists(
        st.tuples(
            st.sampled_from(HASHES),
            st.lists(st.integers(0, len(FEW["sha1"]) - 1), min_size=1, max_size=60),
            st.sampled_from(["head", "bit", "last", "swapped", "cut"]),
            st.integers(0, 2**16),
        ),
        min_size=2,
        max_size=6,
    ),
)
def test_n60_wherever_its_borders_lie_a_memory_changes_no_verdict(edges, lists):
    """Small ones, so that parts end, are lost, found again and forgotten all the time."""
    with pytest.MonkeyPatch.context() as patch:
        for name, size in edges.items():
            patch.setattr(earlier, name, size)
        forget_lists()
        for width, numbers, change, at in lists:
            for how in ("none", change, "none"):  # as it is, then with a lie, and again
                data = bent(width, numbers, how, at)
                assert said(data) == one_by_one(data)
                plain.forget_entries()  # what is known of lists alone
            known = remembered()
            assert sum(len(e.raw) for e in known) <= edges["REMEMBERED_BYTES"]
            assert sum(len(e.ends) - 1 for e in known) <= edges["REMEMBERED"]
