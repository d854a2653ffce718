"""Where a fleet stands: facts out of the record, and what they mean for models and frameworks."""
