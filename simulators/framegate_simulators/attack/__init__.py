"""The attack campaign: every threat of the list tried against a live controller and gateway. See
`campaign.py`.
"""
