"""What is inspected with: registered models, pins that put them in force, parts, golden images."""
