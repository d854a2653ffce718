"""Frames: captured and encoded in a child process, sealed here, sent to a gateway that holds a
grant.
"""
