"""What programs share at their edge to the host.

Private and whole files, keys in files, errors as sentences, logging, signals, TLS to the broker.
"""

import os
from typing import Final

RESOLVER: Final = "GRPC_DNS_RESOLVER"
"""By whom gRPC has names looked up. It reads this once, when its library is loaded: every package
whose modules load that imports this one first.
"""
# Its own way asks a name server for what the hosts file knows too, and for how to behave (TXT): one
# that does not answer held every new connection up for 12 s, and one that lies had a say.
os.environ.setdefault(RESOLVER, "native")
