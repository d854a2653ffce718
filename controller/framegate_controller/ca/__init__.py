"""The fleet's certificate authority: keys, templates, issuance."""
