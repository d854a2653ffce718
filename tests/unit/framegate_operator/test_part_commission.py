"""`framegate part commission`: what a gateway measured becomes a file, a picture and warnings."""

import json
from contextlib import contextmanager
from types import SimpleNamespace
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from framegate.errors import Malformed
from framegate.looks.commission import propose
from framegate.looks.fingerprint import Fingerprint
from framegate.looks.kinds import Look
from framegate_operator import part_commission
from framegate_operator.distributions import bars, drawn
from framegate_operator.part_commission import read_looks
from framegate_operator.parts import app
from support.looks import CAMERA, row, sound_rows

SENSOR = Fingerprint(bytes(range(256)) * 8)


def measured(rows) -> bytes:
    looks = {look.value: [one.get(look) for one in rows] for look in rows[0]}
    body = {"cameras": [CAMERA], "looks": looks}
    if Look.CAMERA_FINGERPRINT in rows[0]:
        body["fingerprints"] = {CAMERA: SENSOR.text}
    return json.dumps(body).encode()


@pytest.fixture
def gateway(monkeypatch):
    """A gateway that has measured what is put in `rows`."""
    rows = [one | {Look.CAMERA_FINGERPRINT: 1500.0} for one in sound_rows()]
    plant = SimpleNamespace(rows=rows, asked=[])

    class Stub:
        def CommissionPart(self, request, *, stream):
            assert stream
            plant.asked.append(request)
            yield SimpleNamespace(counted=0, left_out=0, measured=b"")
            yield SimpleNamespace(counted=240, left_out=2, measured=measured(plant.rows))

    @contextmanager
    def stub(*_args, **_options):
        yield Stub()

    monkeypatch.setattr(part_commission, "load_context", lambda *_: None)
    monkeypatch.setattr(part_commission, "one_gateway", lambda *_: ("gateway.line-1.gw", "a:1"))
    monkeypatch.setattr(part_commission, "gateway_stub", stub)
    return plant


def test_what_was_measured_becomes_limits_that_part_add_takes(gateway, tmp_path):
    out = tmp_path / "board.looks.json"
    done = CliRunner().invoke(app, ["commission", "board", "--out", str(out), "--share", "0.25"])
    assert done.exit_code == 0, done.output
    assert gateway.asked[0].frames == 240 and gateway.asked[0].part_type == "board"
    assert "2 frames with detections were not counted" in done.output
    assert f"--looks {out}" in done.output.replace("\n", "")
    assert "warning" not in done.output
    rows = read_looks(out, "board")
    assert {one["look"] for one in rows} == set(Look)
    assert [r["fingerprints"] for r in rows if "fingerprints" in r] == [{CAMERA: SENSOR.text}]
    assert [r["share"] for r in rows if r["look"] == "asked-again"] == [0.25]
    picture = ElementTree.fromstring(out.with_suffix(".svg").read_text())  # noqa: S314 - our own
    assert len(picture) > 100


def test_a_part_that_is_poorly_guarded_is_warned_of(gateway, tmp_path):
    for one in gateway.rows:
        del one[Look.CAMERA_FINGERPRINT]  # a gateway of before
        one[Look.RESIDUAL] += 90
        one[Look.NOISE_FLOOR] = 0.0
    out = tmp_path / "board.looks.json"
    done = CliRunner().invoke(app, ["commission", "board", "--out", str(out)])
    assert done.exit_code == 0, done.output
    said = done.output
    assert "warning residual: sound frames reach" in said
    assert "warning camera-fingerprint: measured in 0 frames" in said
    assert "not guarded by residual, groundless, noise-floor" in said or "not guarded by" in said
    assert "residual" not in {one["look"] for one in read_looks(out, "board")}


@pytest.mark.parametrize(
    "body",
    [
        b"[]",
        b"{}",
        json.dumps({"part_type": "b", "gateway": "", "cameras": [], "looks": {}}).encode(),
        json.dumps({"part_type": "other", "gateway": "", "cameras": [], "looks": []}).encode(),
        json.dumps({"part_type": "b", "gateway": "", "cameras": [], "looks": [{}]}).encode(),
        json.dumps({"part_type": "b", "gateway": "", "looks": [row()]}).encode(),
        b'{"part_type": "b"' + b" " * 70_000 + b"}",
    ],
)
def test_a_file_that_is_none_of_this_part_is_refused(tmp_path, body):
    path = tmp_path / "l.json"
    path.write_bytes(body)
    with pytest.raises(Malformed):
        read_looks(path, "b")


def test_lines_fit_a_terminal_and_pictures_show_no_markup_of_a_parts_name():
    distributions = propose(sound_rows()).distributions
    assert all(len(line) <= 80 for line in bars(distributions))
    svg = drawn("<script>&", distributions)
    assert "<script>" not in svg and "&lt;script&gt;&amp;" in svg
    ElementTree.fromstring(svg)  # noqa: S314 - our own
