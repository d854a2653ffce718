"""Pilots: how far a whole zone is enforced, and what says so."""
