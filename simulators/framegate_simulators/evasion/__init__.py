"""Manipulated frames against the shipped model and its second looks: what fools the network, and
what of that is caught, through the product's own path in eight bits.
"""
