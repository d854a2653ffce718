"""What a call was refused for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from framegate.errors import FramegateError, Reason


def refused(call: Callable[[], object], kind: type[FramegateError] = FramegateError) -> Reason:
    """The reason that `call` is refused for; that it is refused at all, as `kind`, is asserted."""
    with pytest.raises(kind) as caught:
        call()
    return caught.value.reason


@contextmanager
def refused_with(kind: type[FramegateError], reason: Reason) -> Iterator[None]:
    """That what is done here is refused, as `kind`, for `reason`."""
    with pytest.raises(kind) as caught:
        yield
    assert caught.value.reason == reason


def refusal(desk, name: str, request: object) -> Reason:
    """The reason for which the verb `name` is refused at a desk."""
    return refused(lambda: desk.ask(name, request))
