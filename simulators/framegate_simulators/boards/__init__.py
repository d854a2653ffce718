"""Drawn circuit boards: layout, damage, the photograph, the camera, and the model trained on
them.
"""
