"""Journal, lease, inbox, samples, key: what must survive, and what must be noticed."""
