"""Values of any version as JSON has them, and whether a later one still has all of an earlier's."""

import dataclasses
import types
import typing
from collections.abc import Mapping
from enum import Enum

from framegate.identity.names import DeviceId
from framegate.machines.rollout import Plan


def plain(value):
    """`value` out of dicts, lists, texts and numbers; bytes as `hex:…`."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if hasattr(value, "_asdict"):
        return {name: plain(member) for name, member in value._asdict().items()}
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, bytes):
        return f"hex:{value.hex()}"
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, tuple | list):
        return [plain(each) for each in value]
    return value if isinstance(value, int | bool) or value is None else str(value)


def lost(before, after, where="") -> list[str]:
    """What `before` has and `after` has not, or has otherwise; members that came are no loss."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [
            problem
            for name, member in before.items()
            for problem in (
                lost(member, after[name], f"{where}.{name}")
                if name in after
                else [f"{where}.{name} is gone"]
            )
        ]
    return [] if before == after else [f"{where}: {before!r} is {after!r}"]


def sample(hint, number: int):
    """A value of a type as the registry's values are made of: the same for the same number."""
    text = f"value-{number}"
    plainly = {
        str: text,
        int: number,
        bytes: text.encode(),
        bool: bool(number % 2),
        DeviceId: DeviceId(f"camera.line-1.{text}"),
        Plan: Plan(canary=1, waves=(10, 100), max_fail=1, soak_s=number, shadow=False),
    }
    if hint in plainly:
        return plainly[hint]
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is types.UnionType:
        return sample(next(a for a in arguments if a is not type(None)), number)
    if origin is tuple:
        inner = arguments[:1] if arguments[-1] is Ellipsis else arguments
        return tuple(sample(a, number + n) for n, a in enumerate(inner))
    if origin is Mapping:
        return {sample(arguments[0], number): sample(arguments[1], number)}
    if issubclass(hint, Enum):
        return list(hint)[number % len(hint)]
    return built(hint, number)


def built(cls, number: int):
    """A record or named tuple of samples."""
    hints = typing.get_type_hints(cls)
    names = (
        [f.name for f in dataclasses.fields(cls)] if dataclasses.is_dataclass(cls) else cls._fields
    )
    return cls(
        **{
            name: f"{number + n:016x}"
            if name in {"id", "digest"}
            else sample(hints[name], number + n)
            for n, name in enumerate(names)
        }
    )
