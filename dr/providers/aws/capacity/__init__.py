"""Room to run in the region that is moved to: what is scaled at t=0 and must be ready before anything starts there.

Nobody guarantees capacity on the day: what AWS says when it has none is told at once. ``group.py`` is what a group of any sort is,
``config.py`` what a runbook says of sizes, ``kind.py`` and ``steps.py`` what all of them share; then one file for each service.
"""
