"""Coverage-guided fuzzing of every parser."""
