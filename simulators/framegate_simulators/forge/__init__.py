"""The evidence forge: statements of a software TPM that can be broken on purpose."""
