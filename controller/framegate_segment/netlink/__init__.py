"""Words with the kernel's packet filter: bytes out, values in. Nothing here knows policies."""
