"""Simulated machines: TPM, firmware, measurements, and the power switch."""
