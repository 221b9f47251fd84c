"""Kinds that fit anywhere: commands, approvals, gates; and how hosts and credentials are reached.
"""
