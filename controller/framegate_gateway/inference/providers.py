"""Execution providers of the runtime that a gateway may be told to take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from framegate.payload.kinds import BUILT_IN, Kinds

CPU: Final = "cpu"
PROVIDERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        CPU: "CPUExecutionProvider",
        "openvino": "OpenVINOExecutionProvider",
        "cuda": "CUDAExecutionProvider",
    }
)
"""By the setting's word: the runtime's name. Known answers decide whether what one computes is near
enough to what the bundle was approved with.
"""


@dataclass(frozen=True, slots=True)
class Host:
    """How this host runs a network: by which provider, whether it may where the kernel cannot
    confine the child, and on payloads of which kinds.
    """

    provider: str = CPU
    unconfined: bool = False
    kinds: Kinds = BUILT_IN


ON_CPU: Final = Host()
