"""Faults at random instants, and what has to be true after each: every part has one outcome, every
entry of the record stands once, nobody is trusted without evidence, and all of it heals by itself.
"""
