"""The backbone's weights: read by an unpickler that knows tensors and nothing else."""

import io
import os
import pickle

import numpy as np
import pytest

from framegate.errors import Malformed, Reason, Unavailable
from framegate_models import pretrained
from framegate_models.pretrained import parse_weights, read_weights

HEAD = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})


class Ran:
    """Pickles into a call."""

    def __reduce__(self):
        return os.system, ("true",)


def written(*values) -> bytes:
    stream = io.BytesIO()
    for value in values:
        pickle.dump(value, stream, protocol=2)
    return stream.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"no pickle",
        written(*HEAD, {"w": Ran()}, []),
        written(Ran()),
        written(1, 1001, {}, {}, []),
        written(*HEAD, {"w": 3}, ["0"]),
        written(*HEAD, {}, ["0"]),
        written(*HEAD, [], []),
    ],
)
def test_a_file_that_is_no_file_of_tensors_is_refused_and_not_run(data, monkeypatch):
    monkeypatch.setattr(os, "system", lambda _command: pytest.fail("it ran"))
    with pytest.raises(Malformed) as caught:
        parse_weights(data)
    assert caught.value.reason == Reason.MODEL


def test_no_package_and_other_bytes_are_told_apart(monkeypatch, tmp_path):
    monkeypatch.setattr(pretrained, "PACKAGE", "no_such_package")
    with pytest.raises(Unavailable, match=r"framegate\[learn\]"):
        read_weights()
    package = tmp_path / "other_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / pretrained.FILE).write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(pretrained, "PACKAGE", "other_weights")
    with pytest.raises(Malformed, match="weights with the digest"):
        read_weights()


def test_the_backbones_weights_are_read_whole():
    pytest.importorskip(pretrained.PACKAGE, reason="the extra learn is not installed")
    weights = read_weights()
    assert weights["_conv_stem.weight"].shape == (32, 3, 3, 3)
    assert weights["_fc.weight"].shape == (1000, 1280)
    assert all(np.isfinite(v).all() for v in weights.values())
