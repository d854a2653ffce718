"""Sends the record to its sinks: one cursor each, moved by the sink's own confirmation alone. The
record itself is the queue.
"""
