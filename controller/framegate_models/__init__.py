"""Training and measuring of defect detectors. Only `network` and `fit` need PyTorch, which nothing
that inspects does.
"""
