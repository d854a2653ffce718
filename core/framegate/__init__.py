"""Framegate's core: what attester, verifier and relying parties must agree on. Pure: bytes, keys,
policy and time in, verdicts out.
"""
