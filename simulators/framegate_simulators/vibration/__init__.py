"""Drawn vibration and current of a motor: sound, or with a fault, and the model that tells them
apart.
"""
