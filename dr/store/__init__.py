"""Journal, lease, inbox and samples in SQLite: the default, local backend of ``dr.ports``.

Each class is given the state directory and owns one file in it (0600; the directory is created 0700). Files are opened in
``database`` and nowhere else; SQLite's errors become ``StateUnreadable`` (reading) or ``StateLost`` (writing) there.
Nothing in here knows what a run means: that is the engine's.
"""
