"""dr: moves a data platform out of a lost (or healthy) region into another one, and proves that it did.

Import law, low to high; a package may import its own folder and anything lower, nothing else:

    errors → model → ports → { engine | monitor | providers | store } → { lab | drill | report } → config → app → cli

``tests/test_tidy.py`` holds this picture.
"""

__version__ = "0.1.0"
