"""Whole plants on loopback: processes, lines, fleets over time, and what kills them."""
