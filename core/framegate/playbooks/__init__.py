"""Playbooks: what the fleet does by itself when the record shows something, within limits that two
people approved. Pure: entries of the record go in, runs come out.
"""
