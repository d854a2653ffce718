"""What is signed and acted on: envelopes, and each kind of statement with the one way to establish
it.
"""
