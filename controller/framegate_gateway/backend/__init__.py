"""Attested model servers from both ends: what one counts for at a gateway, and the server."""
