"""Tests, in folders named after behaviours."""
