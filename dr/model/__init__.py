"""Data, and nothing else: frozen models of what people write, what is observed, what happened. No I/O, no clock, no chance.

Units live in the type (``timedelta``, aware ``datetime``), on the wire in the name (``rta_seconds``).
Unknown is ``None`` plus a state, never zero.
"""
