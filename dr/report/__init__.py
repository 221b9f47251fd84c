"""From journal records to what people read. Assessment is pure: every number derives from journal records (I16) or from the ledger.

``assess`` folds one run into ``dr.run/1``, ``debt`` folds all runs of a runbook into what is left to be done; ``html`` and ``junit``
render them. Nothing here touches the world, and nothing here asks what time it is.
"""
