"""What engineers with several laptops share on a ``ports.Table``. Which database that is, is the provider's business.

Journal, lease and inbox, with the same laws as in SQLite: hash chains, one holder per epoch, a request is never lost. Of the monitor's
memory what a move needs, and the key of digests. The monitor's long history and artefacts stay on each machine.
"""
