"""Task logs: the kind ``s3-bucket`` against two real stores, and what is pure of it."""
