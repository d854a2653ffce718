"""What a controller shows to whoever watches it: metrics and health."""
