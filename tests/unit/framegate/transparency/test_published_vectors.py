"""Notes, keys and cosignatures that others published: of Go's checksum database, C2SP, Rekor, the
Pixel log and a Certificate Transparency log with its witnesses.
"""

from __future__ import annotations

import pytest

from framegate.errors import Malformed, Reason, Refused
from framegate.transparency.cosignature import cosignatures
from framegate.transparency.head import parse_head
from framegate.transparency.note import (
    KeyType,
    Note,
    parse_note,
    parse_note_key,
    verified_keys,
)

PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
ENOCH = "EnochRoot+af0cfe78+ATtqJ7zOtqQtYqOo0CpvDXNlMhV3HeJDpjrASKGLWdop"
GO = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngot"
    "pRZb6KE6RyyBwJnAM=\n"
).encode()
EXAMPLE = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
C2SP = (
    "This is an example message.\n\n"
    "— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ONncAlTgK7Ztg1ERYNZXsYjOBH3mFX"
    "mRKuwHjG1Yu72IneyaQM=\n"
).encode()
REKOR = (
    "rekor.sigstore.dev+c0d23d6a+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNhtmPtrWm3U1eQXBogSMdGvX"
    "wBcK5AW5i0hrZLOC96l+smGNM7nwZ4QvFK/4sueRoVj//QP22Ni4Qt9DPfkWLc="
)
REKOR_HEAD = (
    "Rekor\n798034\nf+7CoKgXKE/tNys9TTXcr/ad6U/K3xvznmzew9y6SP0=\n\n"
    "— rekor.sigstore.dev wNI9ajBEAiARInWIWyCdyG27CO6LPnPekyw20qO0YJfoaPaowGp/XgIgc+qEHS3+GKVC"
    "lgqq20uDLet7MCoTURUCRdxwWBHHufk=\n"
).encode()
PIXEL = (
    "pixel6_transparency_log+91c16e30+AjBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABN+4x0Jk1yTwvLFI9A4N"
    "DdGZcX0aiWVdWM5XJVy0M4VWD3AvyW5Q6Hs9A0mcDkpUoYgn+KKPNzFC0H3nN3q6JQ8="
)
PIXEL_HEAD = (
    "DEFAULT\n10\nbsWRucJU5xJPHb5eBdOm6+DM+VelCZBuvtI3sHERJ9Y=\n\n"
    "— pixel6_transparency_log kcFuMDBFAiEAhqMAP8P6qf6QxtUJhzMhbN+MbZ9dwfUHzGQJmffJHtoCIGD0cNe"
    "47dHWBoPwYdgBCepB06/+g5O1FmYjXl06owL4\n"
).encode()
CT = "arche2025h1.staging.ct.transparency.dev+ba2f06c0+AU0vHmlGCS/PdN8b2OaGmKprLI8HKM+dJ472xgFYh15f"
WITNESSES = (
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
    "transparency.dev/DEV:witness-little-garden+d8042a87+BCtusOxINQNUTN5Oj8HObRkh2yHf/MwYaGX4C"
    "PdiVEPM",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "witness.stagemole.eu+67f7aea0+BEqSG3yu9YrmcM3BHvQYTxwFj3uSWakQepafafpUqklv",
)
CT_HEAD = (
    "arche2025h1.staging.ct.transparency.dev\n"
    "1432088532\n"
    "U7WM79jrzyhGZ5/GUBTpM7NzwdyfFx61t3RovgcC4Ro=\n"
    "\n"
    "— arche2025h1.staging.ct.transparency.dev zTM8sQAAAZ5W0WdjBAMARjBEAiBjW5IQf9pvsYLfQF"
    "X6hoGREPMHbdQ3urbllzalApkptQIgIpwtEroeW2BXaHAI4kJXFbon5Ch9MNL5zRNZ55lvGt0=\n"
    "— arche2025h1.staging.ct.transparency.dev ui8GwCF1+kWqZrxGdhj4aX3gcw7XUlXQQabg/27lef"
    "whUkzbC3NygNI75MdhL1bfTW9g8Ei59RA23oHP7Ry1k3ZFWwQ=\n"
    "— transparency.dev/DEV:witness-little-garden 2AQqhwAAAABqEiEgzgFIqqhbUoDwjMWE6UP8nd8"
    "/KYTzwZ2rhIgcqoXHAwVkjZr4AscylP3v7sEodkRAErumC2q44vdgJY096st5BQ==\n"
    "— witness1.smartit.nu/witness1 pIyCDwAAAABqEiEghIp82KWebrw7/oHQwlTAm3g2RKS4+eebl8eO0"
    "WH+/iEcxZ75W3u5hNI7TOQtmJbqmNWVuE0tgh0XwzdZsDsUAQ==\n"
    "— remora.n621.de 2net5wAAAABqEiEgPlfF3V06o0Y+fHM+J5J9s27wgxxcOVSpZ/2g/KSiXCg9DEZI+aV"
    "CIobWX9sXTynk5XeU/zZ0WBxtqB0DrAWfBw==\n"
    "— witness.stagemole.eu Z/euoAAAAABqEiEgw0i+7g2ENfDAWHmtRzCfKTHSDwYDJA2NmKeGi9Y8FtEyO"
    "UvVr+AJmIY/2TUFucgKi7lI7cUiOvKFYe/TmN9DAg==\n"
).encode()
COSIGNED_S = 0x6A122120
"""The time in those cosignatures, May 2026."""


@pytest.mark.parametrize(
    ("key", "note"),
    [(PETER, GO), (EXAMPLE, C2SP), (REKOR, REKOR_HEAD), (PIXEL, PIXEL_HEAD), (CT, CT_HEAD)],
    ids=["go", "c2sp", "rekor-ecdsa", "pixel-ecdsa", "ct"],
)
def test_notes_of_others_verify_and_none_that_was_changed(key: str, note: bytes) -> None:
    known, parsed = parse_note_key(key), parse_note(note)
    assert known.text == key
    assert parsed.data == note
    assert verified_keys(parsed, (known,)) == (known,)
    changed = Note("x" + parsed.text, parsed.signatures)
    with pytest.raises(Refused) as refused:
        verified_keys(changed, (known,))
    assert refused.value.reason == Reason.SIGNATURE
    assert not verified_keys(parsed, (parse_note_key(ENOCH),))  # a stranger's says nothing


def test_cosignatures_of_real_witnesses_verify_and_only_over_this_head() -> None:
    note = parse_note(CT_HEAD)
    keys = [parse_note_key(text) for text in WITNESSES]
    cosigned = cosignatures(note, keys, COSIGNED_S)
    assert [c.at_s for c in cosigned] == [COSIGNED_S] * 4
    assert parse_head(note.text).size == 1_432_088_532
    with pytest.raises(Refused):
        cosignatures(Note(note.text.replace("1432", "1433"), note.signatures), keys, COSIGNED_S)
    with pytest.raises(Refused):  # they are an hour ahead
        cosignatures(note, keys, COSIGNED_S - 3600)


def test_every_mangled_key_is_refused() -> None:
    for begin in range(len(PETER)):
        for end in range(begin + 1, len(PETER) + 1, 7):
            if (begin, end) != (0, len(PETER)):
                with pytest.raises(Malformed):
                    parse_note_key(PETER[begin:end])
    for at in range(len(PETER)):
        with pytest.raises(Malformed):
            parse_note_key(PETER[:at] + chr(ord(PETER[at]) + 1) + PETER[at + 1 :])
    for text in (  # another length, an algorithm nobody knows, a log's key as P-256 of another id
        "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
        "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
        REKOR.replace("c0d23d6a", "00000000"),
    ):
        with pytest.raises(Malformed):
            parse_note_key(text)


def test_a_cosigners_key_is_of_its_own_kind() -> None:
    assert {parse_note_key(t).kind for t in WITNESSES} == {KeyType.COSIGNATURE}
