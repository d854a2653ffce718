"""The verifier: challenges, evidence, results. It decides what a machine is, not what it may do
with frames.
"""
