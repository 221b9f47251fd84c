"""Silences in real Alertmanagers."""
