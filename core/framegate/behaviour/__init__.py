"""What people do, held against ten rules: over the record alone, in its order, with its own times.

The same entries give the same findings, whether they come one by one or all at once.
"""
