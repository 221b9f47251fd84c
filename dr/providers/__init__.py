"""The kinds: everything that touches a platform. Providers know nothing of the engine, of runs or of each other's folders' insides.
"""
