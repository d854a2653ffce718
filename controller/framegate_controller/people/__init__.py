"""People: who they are, what they may do, on whose word.

The access policy decides (framegate.access); this room keeps its facts.
"""
