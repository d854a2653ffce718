"""Playbooks at work: what the record calls for is planned, asked for, and done at the desk that
operators' verbs are done at.
"""
