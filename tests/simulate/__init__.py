"""The simulator: its stores, its world, and what it finds."""
