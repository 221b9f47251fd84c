"""Readiness only: what must be so in a region long before anybody moves there. Looked at, never changed.

``checked.py`` is what these kinds share: looks that are remembered for a while, and one step that blocks a move on an error.
"""
