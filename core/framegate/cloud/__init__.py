"""What vouches for the virtual TPM of a machine in somebody else's computer centre, read as each
provider writes it.
"""
