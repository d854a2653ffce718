"""TPM 2.0 structures and the arithmetic on them: parse and marshal, names, policies, credentials.
No TPM is touched here.
"""
