"""Receipts: durable before a verdict leaves, signed in batches, dated by the controller's log,
handed out to whoever may read them.
"""
