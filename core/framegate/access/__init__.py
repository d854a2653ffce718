"""Access policy: who may do what, and which device may use which model. Cedar decides; this package
holds the verbs, the default set and its evaluation.
"""
