"""``python -m dr`` is ``dr``."""

from dr.cli.main import main

main()
