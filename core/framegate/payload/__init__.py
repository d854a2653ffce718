"""What travels in a frame: kinds of evidence, each by one contract, pictures being the first."""
