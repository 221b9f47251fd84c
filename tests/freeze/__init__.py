"""What surrounds the freeze of a move: locks, silences, TTLs, restarts."""
