"""Who somebody is: names as types, certificates and their purposes, makers' endorsements, keys from
files and tokens.
"""
