"""Segments that follow the proof: zones and conduits (IEC 62443-3-2) as one file beside the access
policy. Pure: policy and trust go in; rules, set elements, rulings and maps come out.
"""
