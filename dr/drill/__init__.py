"""A scenario becomes acts and faults in a world that is handed in, then a scorecard; cleans up always.
"""
