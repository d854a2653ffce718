"""The log of decisions: signed notes, heads that witnesses cosign, entries and their proofs."""
