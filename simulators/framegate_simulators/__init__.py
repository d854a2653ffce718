"""Simulated machines, boots, cameras and adversaries that speak Framegate's production
interfaces.
"""
