"""Demonstrations told act by act."""
