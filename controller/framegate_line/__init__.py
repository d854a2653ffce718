"""The line adapter: a part is born at its trigger, and passes only by a verified PASS that comes in
time. Knows the core and nothing else of ours.
"""
