"""Whose turn it is at the join port: strangers never before machines of the fleet and tickets."""

from __future__ import annotations

from enum import StrEnum

from framegate.errors import Reason, Refused
from framegate.wire import sha256
from framegate_controller.joinport.limits import (
    EK_PREFIX,
    KNOWN_PREFIX,
    MAX_PREFIXES,
    SIGN_IN,
    SIGN_IN_PREFIX,
    STRANGERS,
    STRANGERS_PREFIX,
    TICKET,
)
from framegate_host.token_buckets import Rate, TokenBuckets

_ALL = "all"


class Who(StrEnum):
    """For whom a Hello speaks, as far as a port can tell."""

    TICKET = "ticket"  # holds a ticket that is open
    MACHINE = "machine"  # shows the public half of an EK of this fleet
    STRANGER = "stranger"


def _buckets(rate: Rate) -> TokenBuckets[object]:
    return TokenBuckets(rate, MAX_PREFIXES)


class Turnstile:
    """Rates at which calls go on to the controller."""

    def __init__(self) -> None:
        self._raw, self._ek = _buckets(EK_PREFIX), _buckets(EK_PREFIX)
        self._known, self._ticket = _buckets(KNOWN_PREFIX), _buckets(TICKET)
        self._strangers, self._prefixes = map(_buckets, (STRANGERS, STRANGERS_PREFIX))
        self._sign_ins, self._people = map(_buckets, (SIGN_IN, SIGN_IN_PREFIX))

    def look(self, ek_public: bytes, prefix: str, now_ms: int) -> None:
        """That these very bytes of an EK were not shown too often from there: cheaper than to read
        them. Raises Refused (TOO_MANY_TRIES).
        """
        _require(self._raw.take((sha256(ek_public), prefix), now_ms), "with one EK from there")

    def hello(self, who: Who, ek_sha256: bytes, ticket: bytes, prefix: str, now_ms: int) -> None:
        """A Hello goes on, at the rate of whose it is:

        - of a ticket that is open, whoever holds its code, from wherever;
        - of a machine of the fleet, per EK *and* prefix, so that whoever knows the public half
          takes nothing from its owner elsewhere; and per prefix;
        - of strangers, per EK and prefix, per prefix, and all together.

        Raises Refused (TOO_MANY_TRIES).
        """
        if who == Who.TICKET:
            _require(self._ticket.take(sha256(ticket), now_ms), "with one ticket")
            return
        _require(self._ek.take((ek_sha256, prefix), now_ms), "with one EK from there")
        if who == Who.MACHINE:
            _require(self._known.take(prefix, now_ms), "of machines from there")
            return
        _require(self._prefixes.take(prefix, now_ms), "of unknown TPMs from there")
        _require(self._strangers.take(_ALL, now_ms), "of unknown TPMs")

    def sign_in(self, prefix: str, now_ms: int) -> None:
        """A person's call goes on. Raises Refused (TOO_MANY_TRIES)."""
        _require(self._people.take(prefix, now_ms), "of people from there")
        _require(self._sign_ins.take(_ALL, now_ms), "of people")


def _require(taken: bool, whose: str) -> None:
    if not taken:
        raise Refused.of(
            Reason.TOO_MANY_TRIES, f"fewer calls {whose}", "too many", "wait some seconds"
        )
