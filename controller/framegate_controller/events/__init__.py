"""What goes out to watchers and gateways: notices, the bus that carries them, and snapshots of trust."""
