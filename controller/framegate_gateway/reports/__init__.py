"""What this gateway and lines on its broker have to tell the controller, until it has it."""
