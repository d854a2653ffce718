"""The controller's append-only log: what was recorded when, provable to anyone who holds the
fleet's root.
"""
