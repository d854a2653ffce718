"""What a gateway or a line saw that somebody should know: its kinds, and how a flood is told."""
