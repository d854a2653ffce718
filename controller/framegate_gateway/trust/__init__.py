"""Whom this gateway trusts and who trusts it: its keys, its host's agent, the controller's feed,
people and policy.
"""
