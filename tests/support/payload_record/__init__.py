"""A third kind of payload, as a double: a record of named numbers, as they come from a till or a
booking system. All that it takes is in this folder.
"""
