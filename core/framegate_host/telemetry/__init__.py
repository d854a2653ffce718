"""What programs say of themselves to whoever watches them: metrics and health, on a listener of
their own.
"""
