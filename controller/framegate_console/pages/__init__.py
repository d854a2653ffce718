"""What each page asks for, and what it shows."""
