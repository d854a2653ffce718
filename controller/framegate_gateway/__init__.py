"""The gateway: admits sealed frames from devices that are trusted now, inspects them, and signs
what it found.
"""
