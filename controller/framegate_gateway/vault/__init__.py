"""Frames at rest: encrypted under keys of a camera and a day, those under a key sealed to the
host's TPM. Erasing a key erases its frames.
"""
