"""What the kinds of AWS are in a simulated world, where they are otherwise than what runs on one's own machines.

Nothing is called, and nothing here knows an SDK: each picture says from which page of AWS its behaviour over time comes.
"""
