"""The Attester: proves with the machine's TPM what it is and what it booted, and seals frames for
gateways that hold a grant.
"""

from typing import Final

VERSION: Final = "0.1.0"
