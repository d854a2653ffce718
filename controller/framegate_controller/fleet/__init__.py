"""The verifier: challenges, proofs, results. It decides what a machine is, not what it may do with
frames.
"""
