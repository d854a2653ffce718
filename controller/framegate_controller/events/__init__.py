"""What goes out to watchers and gateways: notices, the bus, snapshots of trust."""
