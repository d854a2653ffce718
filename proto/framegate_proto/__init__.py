"""The wire contract: generated messages and services, and what every edge shares."""

import os
from typing import Final

RESOLVER: Final = "GRPC_DNS_RESOLVER"
"""By whom gRPC has names looked up, which it asks once, when the first of it is made."""
# Its own way asks a name server for what the hosts file knows too, and for how to behave (TXT): one
# that does not answer held every new connection up for 12 s, and one that lies had a say.
os.environ.setdefault(RESOLVER, "native")
