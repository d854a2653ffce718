"""Entries of the record as events of the Open Cybersecurity Schema Framework (OCSF), and a SIEM's
copy of them held against a signed head.
"""
