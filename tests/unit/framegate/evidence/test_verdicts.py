"""What is said of evidence, honest and hostile, stays what it was, word by word: the table was
written by the verifier before it read lists column by column and remembered what it had hashed.
"""

from support.evidence_corpus import TABLE, cases, row


def test_every_verdict_is_the_one_in_the_table():
    wanted = TABLE.read_text().splitlines()
    came = [row(case) for case in cases()]
    other = [(w, c) for w, c in zip(wanted, came, strict=True) if w != c]
    hint = "meant to change? python -m support.evidence_corpus, in tests/, writes the table anew"
    assert not other, f"{other[:3]}; {hint}"


def test_the_table_has_both_verdicts_of_each_kind():
    rows = [line.split() for line in TABLE.read_text().splitlines()]
    for kind in ("list", "log"):
        assert sum(r[0].startswith(kind) and r[1] == "read" for r in rows) > 50
        assert sum(r[0].startswith(kind) and "malformed" in r[1] for r in rows) > 50
    files = [r[1] for r in rows if r[0].startswith("files/")]
    assert files.count("affirming") >= 4 and len(set(files)) > 6
