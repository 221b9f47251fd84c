"""Journal, lease and inbox on a ``ports.Table``: for two engineers with two laptops. Which database that is, is the provider's business.

The same laws as in SQLite: hash chains, one holder per epoch, a request is never lost. Samples, keys and artefacts stay on each machine.
"""
