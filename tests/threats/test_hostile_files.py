"""N241: a file, a name of one, a log or a record that somebody else wrote: whichever program shows
it, no terminal is steered, no address stands behind words, and no line of it reads as ours.
"""

import gzip
import io
import json
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
import zlib
from dataclasses import asdict
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from rich.table import Table
from rich.text import Text

from framegate.identity.pem import private_pem
from framegate_agent.state import StateFile
from framegate_gateway.inference.bundle import DEFAULT_BUNDLE
from framegate_host import logs
from framegate_host.console import Terminal, show_json
from framegate_host.printing import say, show_text
from framegate_line.ledger import Ledger
from framegate_line.reach import Peer, reach_file
from framegate_line.rules import Outcome, Ruling, Trigger
from framegate_models.manifest import sign_folder
from framegate_operator import contexts
from framegate_segment.drops import ExplainedDrop
from framegate_segment.main import DROPS
from support.command_walk import PROGRAMS, leaves, run, run_each
from support.hostile_texts import NAME, STEERS, faults_of, in_bytes, in_json, in_quotes
from support.passed_over import ASKED_FOR_ALL, SERVE, SHARED
from support.paths import ROOT

VECTORS = ROOT / "tests/vectors"
RECEIPTS = gzip.decompress((VECTORS / "receipts/receipts-1.jsonl.gz").read_bytes())
FORMS = {
    "boot-log": (in_bytes, gzip.decompress((VECTORS / "vm/boot_log.gz").read_bytes())),
    "ima": (in_bytes, gzip.decompress((VECTORS / "vm/ima.gz").read_bytes())),
    "certificate": (in_bytes, (VECTORS / "receipts/fleet-root.pem").read_bytes()),
    "receipt": (in_json, RECEIPTS.splitlines()[0]),
    "profile": (
        in_quotes,
        (ROOT / "firmware_profiles/simulators-camera-1.0.0.toml").read_bytes(),
    ),
    "segments": (in_quotes, (VECTORS / "segments/segments.toml").read_bytes()),
    "policy": (in_quotes, (VECTORS / "access/before-playbooks/operators.cedar").read_bytes()),
    "settings": (in_quotes, b'"some key" = "some text"\nbroker = "some text"\nstate = "text"\n'),
}
"""What is good of each kind, and how it is made hostile."""
SAYS_MORE = {
    "boot-log": ["evidence replay", "evidence show", "profile learn --name x --out o --boot-log"],
    "ima": ["evidence show"],
    "certificate": ["evidence show"],
    "receipt": [f"receipt verify --root {VECTORS}/receipts/fleet-root.pem"],
    "profile": ["profile lint"],
}
"""Commands that show much of such a file."""


@pytest.fixture
def folder(monkeypatch):
    """A folder that is also home, with nothing of whoever runs the tests."""
    made = Path(tempfile.mkdtemp(prefix="fg-hostile-"))
    for name in [n for n in os.environ if n.startswith("FRAMEGATE")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(made))
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(contexts, "FOLDER", made / "config")
    monkeypatch.chdir(made)
    yield made
    shutil.rmtree(made)


def require_none(rows, least: int) -> None:
    told = [f"{said}: {fault}" for said, done in rows for fault in faults_of(done)]
    assert not told, "\n\n".join(told)
    assert len(rows) >= least


def walked(program: str, folder: Path, forms) -> list:
    """(what was asked, how it ended) for each file of each command, in each of its `forms`, by a
    name that is hostile too.
    """
    asked = []
    for leaf in leaves():
        if leaf.program != program or str(leaf) in SERVE:
            continue
        for number, parameter in enumerate(leaf.takes_files()):
            if parameter.name in SHARED and str(leaf) not in ASKED_FOR_ALL:
                continue
            for form in forms(f"{leaf} {number}"):
                path = folder / f"{form}{NAME}"
                state = {"state": str(folder / "state")}
                asked.append((f"{leaf} {form}", leaf.argv(state, parameter, path)))

    def before() -> None:
        shutil.rmtree(folder / "state", ignore_errors=True)
        for form, (hostile, good) in FORMS.items():
            path = folder / f"{form}{NAME}"
            if path.is_dir():
                shutil.rmtree(path)
            path.write_bytes(next(iter(hostile(good, 1))))

    before()
    ends = run_each(program, [argv for _, argv in asked], folder, before=before)
    return [(said, done) for (said, _), done in zip(asked, ends, strict=True)]


@pytest.mark.slow
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_n241_no_file_steers_a_terminal_through_any_command(program, folder):
    """Each file of each command in one of the forms."""
    names = sorted(FORMS)
    chosen = lambda said: [names[zlib.crc32(said.encode()) % len(names)]]  # noqa: E731
    require_none(walked(program, folder, chosen), 2)


@pytest.mark.plants
@pytest.mark.parametrize("program", sorted(PROGRAMS))
def test_n241_nor_does_a_file_of_any_form(program, folder):
    require_none(walked(program, folder, lambda _: sorted(FORMS)), 16)


@pytest.mark.slow
def test_n241_each_text_in_a_file_of_its_kind_is_shown_as_what_it_is(folder):
    asked = []
    for form, commands in SAYS_MORE.items():
        hostile, good = FORMS[form]
        for number, made in enumerate(hostile(good, 12)):
            path = folder / f"{form}-{number}"
            path.write_bytes(made)
            asked += [[*words.split(), str(path)] for words in commands]
    rows = list(zip(map(str, asked), run_each("framegate", asked, folder), strict=True))
    shown = sum("\\x1b" in done.out + done.err for _, done in rows)
    require_none(rows, 60)
    assert shown > 10, "what is hostile is met at all"


def test_n241_what_an_agent_was_told_is_shown_as_text(folder):
    status = {
        "device": STEERS,
        "state": STEERS,
        "running": STEERS,
        "controller": STEERS,
        "at": time.time(),
        "certificate_s": 1,
        "attested": 1,
        "rejoined": 0,
        "outcomes": {STEERS: 1},
        "uninspected": {STEERS: 1},
        "streams": [
            {
                "source": STEERS,
                "gateway": STEERS,
                "problem": [STEERS],
                "captured": 1,
                "ended": False,
            }
        ],
        "failures": [[STEERS] * 4],
    }
    state = StateFile(folder / "agent")
    members = dict.fromkeys(state_members(), STEERS)
    state.path.write_text(json.dumps({**members, "authorities": []}))
    state.status_path.write_text(json.dumps(status))
    require_shown("framegate-agent", ["status", "--state", str(folder / "agent")], folder)


def state_members() -> list[str]:
    from dataclasses import fields

    from framegate_agent.state import AgentState

    return [f.name for f in fields(AgentState)]


def test_n241_parts_and_peers_of_a_line_are_shown_as_text(folder):
    path = folder / "ledger.db"
    book = Ledger(path, "press-7")
    part = book.open_part(Trigger("part-1", "t", 1), 1_000, 1_000, 2_000)
    book.decide(part, Ruling(Outcome.UNINSPECTED, STEERS), 1_500)
    book.close()
    with sqlite3.connect(path) as hand:
        hand.execute("UPDATE parts SET part = ?, part_type = ?", (STEERS, STEERS))
    hand.close()
    peers = {STEERS: asdict(Peer(False, 1.0, STEERS))}
    reach_file(path).write_text(json.dumps({"at": time.time(), "peers": peers}))
    for command in ("status", "parts"):
        words = [command, "--line", "press-7", "--ledger", str(path)]
        require_shown("framegate-line", words, folder)


def test_n241_refused_packets_are_shown_as_text(folder):
    text = dict.fromkeys(ExplainedDrop.__dataclass_fields__, STEERS)
    (folder / "segment").mkdir()
    (folder / "segment" / DROPS).write_text(json.dumps({**text, "number": 1, "at_ms": 1}))
    require_shown("framegate-segment", ["drops", "--state", str(folder / "segment")], folder)


def test_n241_a_models_card_and_classes_are_shown_as_text(folder):
    for number, made in enumerate(in_json((DEFAULT_BUNDLE / "card.json").read_bytes(), 6)):
        bundle = folder / f"bundle-{number}"
        shutil.copytree(DEFAULT_BUNDLE, bundle)
        (bundle / "card.json").write_bytes(made)
        done = run("framegate-models", ["model", "show", "--bundle", str(bundle)], folder)
        assert not faults_of(done)
        done = run("framegate", ["model", "verify", str(bundle), "--key", "none"], folder)
        assert not faults_of(done)


def test_n241_who_vouches_for_data_is_shown_as_text(folder):
    key = ec.generate_private_key(ec.SECP256R1())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (folder / "key.pem").write_bytes(public)
    (folder / "data").mkdir()
    (folder / "data" / NAME.replace("\n", "")).write_bytes(b"picture")
    sign_folder(folder / "data", key, STEERS, STEERS)
    words = ["data", "verify", str(folder / "data"), "--key", str(folder / "key.pem")]
    require_shown("framegate-models", words, folder)


def test_n241_names_of_files_are_shown_as_text(folder):
    private = private_pem(ec.generate_private_key(ec.SECP256R1()))
    (folder / "key.pem").write_bytes(private)
    (folder / f"data{NAME}").mkdir()
    (folder / f"data{NAME}" / "picture.png").write_bytes(b"picture")
    words = ["data", "sign", str(folder / f"data{NAME}"), "--key", str(folder / "key.pem")]
    words += ["--source", STEERS, "--approved-by", "anna"]
    require_shown("framegate-models", words, folder)


def require_shown(program: str, words: list[str], folder: Path) -> None:
    """As a table, and as JSON where there is such a form: nothing steers, and it is shown."""
    done = run(program, words, folder)
    assert not faults_of(done) and "\\x1b" in done.out + done.err, done


# the door itself


@pytest.fixture
def shown():
    """A terminal of 400 columns that takes colours, and what it was sent."""
    file = io.StringIO()
    return Terminal(file=file, force_terminal=True, width=400, color_system="truecolor"), file


def test_n241_a_table_steers_nothing_by_whatever_cell(shown):
    terminal, file = shown
    table = Table(STEERS, title=STEERS, caption=STEERS)
    for cell in (STEERS, Text(STEERS), Text(STEERS, style="red"), "[/nothing]", "\x9b2J"):
        table.add_row(cell)
    terminal.print(table)
    require_ours(file.getvalue())


def require_ours(sent: str) -> None:
    """Of what is sent, colours alone are no text."""
    import re

    text = re.sub(r"\x1b\[[0-9;]*m", "", sent)
    assert all(c.isprintable() or c == "\n" for c in text) and "owned" in text


@pytest.mark.parametrize("markup", ["[link=http://evil]bill[/link]", "[link http://evil]bill[/]"])
def test_n241_no_address_stands_behind_words(shown, markup):
    terminal, file = shown
    table = Table(markup)
    table.add_row(markup)
    terminal.print(markup, table)
    assert "evil" not in file.getvalue() or "\x1b]8" not in file.getvalue()
    assert "\x1b]" not in file.getvalue() and "bill" in file.getvalue()


@pytest.mark.parametrize("address", ["fd00:100::1", "00:ab:01:b:00", "12:100:00", "a:skull:b"])
def test_n241_an_address_has_no_pictures_in_it(shown, address):
    terminal, file = shown
    table = Table(address)
    table.add_row(address)
    terminal.print(address, table, emoji=True)
    assert file.getvalue().count(address) == 3


def test_n241_bars_of_progress_still_move(shown):
    """Of the door: what moves a cursor is ours and stays."""
    from rich.live import Live

    terminal, file = shown
    with Live(Text(STEERS), console=terminal, auto_refresh=False) as live:
        live.update(Text("second"), refresh=True)
    assert "\x1b[?25l" in file.getvalue() and "\x1b]" not in file.getvalue()


@pytest.mark.parametrize("write", [show_text, lambda text: show_json({"a": text}), say])
def test_n241_data_is_exact_but_for_what_steers(write, capsys):
    write(STEERS)
    said = "".join(capsys.readouterr())
    assert all(c.isprintable() or c == "\n" for c in said) and "owned" in said
    write("a\tb\r\nc ä 部")
    assert "部" in "".join(capsys.readouterr()) or write not in {show_text, say}


def test_n241_tables_of_others_programs_come_through_whole(capsys):
    show_text("a,b\r\n1\t2\r\n", end="")
    assert capsys.readouterr().out == "a,b\r\n1\t2\r\n"
    show_text("a\rb\r\r\n")
    assert capsys.readouterr().out == "a\\rb\\r\r\n\n"


@pytest.fixture
def log(monkeypatch):
    """A logger of a service, and what stands in its log."""
    file = io.StringIO()
    before = (sys.excepthook, threading.excepthook, logging.root.handlers[:], logging.root.level)
    logging.root.handlers[:] = []
    monkeypatch.setattr(sys, "stderr", file)
    logs.start_logging(verbose=True)
    yield logging.getLogger("n241"), file
    sys.excepthook, threading.excepthook = before[:2]
    logging.root.handlers[:] = before[2]
    logging.root.setLevel(before[3])


def test_n241_no_line_of_a_log_is_somebody_elses(log):
    logger, file = log
    logger.warning("of %s: %s", STEERS, "x\n2026-11-28 00:00:00,000 INFO all is well")
    try:
        raise ValueError("x\n2026-11-28 00:00:00,000 INFO all is well " + STEERS)
    except ValueError:
        logger.exception("met")
    sys.excepthook(ValueError, ValueError("x\nall is well" + STEERS), None)
    lines = file.getvalue().splitlines()
    assert not [line for line in lines if line.startswith(("all is well", "[bold]"))]
    assert all(c.isprintable() or c == "\n" for c in file.getvalue())
    assert [v[:4].isdigit() for v in lines].count(True) == 2, "each record begins one line"
    assert "Traceback" in file.getvalue(), "what a fault was is told all the same"
