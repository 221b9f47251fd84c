"""Two regions of real servers on this machine: starts them, breaks them, watches from outside. Never imported by the engine.

The lab only starts servers; everything that is done to them in a run is done by the same kinds that run in production.
"""
