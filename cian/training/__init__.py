"""Losses, objectives, and the loop that descends them on several devices.

May import `seeds`, `inference`, `models`, `data` and below.
"""
