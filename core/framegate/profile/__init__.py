"""Firmware profiles: reference values and limits as data, how they are learned, and how people read
them.
"""
