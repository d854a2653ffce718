"""What strangers may cost the process at the join port. Whatever is over is refused, or cut off."""

from __future__ import annotations

from typing import Final

from framegate.wire import MAX_EVIDENCE_BYTES
from framegate_host.token_buckets import Rate

MAX_CONNECTIONS: Final = 1_024
"""Connections at once, all together: each costs some 100 KiB and three descriptors."""
MAX_CONNECTIONS_PREFIX: Final = 256
"""Connections from one IPv4 address or IPv6 /64: a plant behind one address, when its power comes
back. Past it the one that has asked for nothing for longest gives way to the next.
"""
DESCRIPTORS: Final = 3 * MAX_CONNECTIONS + 512
HANDSHAKE_MS: Final = 5_000
"""For a TLS handshake: some hundred milliseconds, on a slow link."""
IDLE_MS: Final = 15_000
"""Without a call, after which a connection is closed; a machine's TPM answers in some seconds."""
AGE_MS: Final = 60_000
GRACE_MS: Final = 30_000
"""How old a connection gets, and how long a call on it may go on then."""
SILENCE_S: Final = 30.0
"""Without a byte either way, after which a connection is cut: its peer is gone."""
PROTECTED_S: Final = 60.0
"""For which a connection that got a challenge gives way to nobody: the challenge's life."""
MAX_STREAMS: Final = 4
"""Calls at once on one connection, the rest wait at their sender: a machine has one, a person's
client one. So whoever floods queues behind themselves.
"""
MAX_HEADERS: Final = 8 * 1024
MAX_MESSAGE_BYTES: Final = 48 * 1024
"""One message: a chunk of 32 KiB, a Hello of 16 KiB, a sealed challenge of 16 KiB with an offer."""
MAX_CALLS: Final = 1_024
"""Calls at once, all connections together; past it they are refused without being looked at."""
MAX_UNOFFERED: Final = 256
MAX_UNOFFERED_PREFIX: Final = 32
"""Calls that have offered no evidence yet, on connections that got no challenge: somebody who says
nothing must not be in the way of those who do.
"""
STRANGERS: Final = Rate(256, 32)
STRANGERS_PREFIX: Final = Rate(64, 8)
"""Hellos with neither an EK of this fleet nor a ticket that is open, which the controller has to
look up: all together, and from one prefix. A lookup takes it a millisecond.
"""
KNOWN_PREFIX: Final = Rate(256, 32)
"""Hellos with an EK of this fleet, from one prefix: a plant whose power comes back."""
EK_PREFIX: Final = Rate(16, 0.5)
"""Hellos with one EK from one prefix."""
TICKET: Final = Rate(16, 0.5)
"""Hellos with one ticket that is open: whoever has its 128 bits is no stranger."""
SIGN_IN: Final = Rate(256, 32)
SIGN_IN_PREFIX: Final = Rate(60, 2)
"""Calls of people who sign in, all together and from one prefix: at shift change a plant's one
address has some dozen people with three calls each.
"""
MAX_PREFIXES: Final = 20_000
"""Prefixes, EKs and tickets that are counted, some hundred bytes each."""
STRANGERS_FLYING: Final = 4
KNOWN_FLYING: Final = 16
SIGN_INS_FLYING: Final = 64
EVIDENCE_FLYING: Final = 2
LARGE_FLYING: Final = 1
"""Calls of one kind at the controller at once. Strangers wait behind no machine, nor it behind
them; evidence with large logs takes the controller some 20 MiB and half a second, and what is
usual waits behind none of that.
"""
LARGE_BYTES: Final = 1024 * 1024
UPLOADS_BYTES: Final = 4 * MAX_EVIDENCE_BYTES
"""Evidence in memory at once, that whoever proved to be its TPM sends."""
UPLOAD_WAIT_S: Final = 10.0
"""For room among the uploads; then the machine comes back."""
UPLOAD_S: Final = 20.0
"""From the offer to the last byte: 6 MiB at 2.6 Mbit/s."""
FIRST_S: Final = 5.0
"""For the offer, once a call began."""
MAX_OFFERS: Final = 20_000
"""Challenges that were answered, some hundred bytes each, for the minute they live."""
MEMORY_BYTES: Final = 768 * 1024 * 1024
"""Of data (RLIMIT_DATA). Measured: 60 MiB at rest, 200 MiB under all loads together. A process that
wants more ends, and another takes its place.
"""
BEAT_S: Final = 2.0
"""How often the process says that it is alive, from the loop that serves calls."""
MISSED_BEATS: Final = 5
"""After so many without a word its controller ends it and starts another: a loop that stood still
for ten seconds has kept everybody waiting longer than any limit above allows.
"""
REFUSALS_EVERY_S: Final = 60.0
MAX_REFUSALS: Final = 16
"""Kinds of refusal, by reason and prefix, that are told apart in a minute; the rest is `others`."""
