"""Signed verdicts: on the stream, in memory for operators, and on the broker."""
