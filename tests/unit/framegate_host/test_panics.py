"""What is a fault though it is no Exception."""

import asyncio

import pytest

from framegate.errors import Reason, Refused
from framegate_host.panics import is_panic


class Panic(BaseException):
    """As pyo3 makes its own."""


@pytest.mark.parametrize("kind", [Panic, BaseException, lambda: BaseExceptionGroup("", [Panic()])])
def test_what_is_no_exception_and_ends_nothing_is_a_panic(kind):
    assert is_panic(kind())


@pytest.mark.parametrize(
    "error",
    [
        asyncio.CancelledError(),
        GeneratorExit(),
        KeyboardInterrupt(),
        SystemExit(1),
        ValueError(),
        StopIteration(),
        MemoryError(),
        Refused.of(Reason.USAGE, "one thing", "another"),
    ],
)
def test_an_exception_is_none_nor_what_ends_a_task_or_a_program(error):
    assert not is_panic(error)
