"""The evidence that verifiers are timed on is sound in every case, and as good as it says."""

import json
import sys

import pytest

from framegate_simulators.bench import beside
from framegate_simulators.bench.evidence_files import CASES, make_evidence, read_case
from framegate_simulators.bench.verifier_engine import verifier

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def evidence(tmp_path_factory):
    root = tmp_path_factory.mktemp("evidence")
    make_evidence(root)
    return root


@pytest.mark.parametrize("name", sorted(CASES.keys() - {"ima-10000"}))
def test_every_case_affirms_and_a_changed_one_does_not(evidence, name):
    files = read_case(evidence, CASES[name])
    verifier(files)()
    for member in ("signature", "nonce", *(("ima",) if files.ima else ())):
        data = bytearray(getattr(files, member))
        data[-3] ^= 1
        other = type(files)(
            **{n: getattr(files, n) for n in files.__slots__} | {member: bytes(data)}
        )
        with pytest.raises(Exception, match=r"signature|extra-data|ima-|offset"):
            verifier(other)()


def test_the_quote_is_compared_in_turns_by_processor_time(evidence, monkeypatch):
    monkeypatch.setattr(beside, "SLICE_S", 0.01)
    figures = beside.compare(evidence, "quote", "", 2)
    assert set(figures) == {"again_ms", "first_ms"} and 0.01 < figures["again_ms"] < 1000


def test_ratios_are_of_each_round(evidence, monkeypatch):
    answers = "import sys\nprint('ready', flush=True)\n"
    answers += "for n, _ in enumerate(sys.stdin): print([{} * (n + 1)], flush=True)"

    def engines(*_):
        times = {"again": 1, "first": 2, "keylime": 8}
        return {n: [sys.executable, "-c", answers.format(t)] for n, t in times.items()}

    monkeypatch.setattr(beside, "engines", engines)
    figures = beside.compare(evidence, "quote", "python-with-keylime", 3)
    assert figures["again_times_faster"] == 8 and figures["first_times_faster"] == 4
    assert figures["aim"] == beside.AIMS["quote"] and figures["keylime_ms"] == 16_000


def test_keylime_is_told_where_the_prior_entries_lie(evidence):
    argv = beside.engines(evidence, "ima-last-100", "python3")["keylime"]
    assert argv[0] == "python3" and json.loads(argv[-1])["prior_folder"] == "ima-9900"
    assert (evidence / "ima-9900" / "quote.pcrs").exists()
