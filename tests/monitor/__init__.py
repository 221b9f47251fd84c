"""Watching: what counts as lost, what a round does when a region is gone, what is exported, what dashboards may use."""
