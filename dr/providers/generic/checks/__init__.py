"""Checks as steps: each only looks, says what it saw, and is tried again until it holds or its time is over.

Where a check stands in a run is said by ``needs`` of it and of other components, as for a gate or a command. A missing answer is never a
passed check: what cannot be asked is unknown, and unknown does not hold.
"""
