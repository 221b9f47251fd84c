"""Reads journals and ledgers, and says what they mean: assessment, HTML, JUnit. Writes nothing but its own output.
"""
