"""Journal, lease, inbox and samples in SQLite: the default, local backend. Files are 0600.
"""
