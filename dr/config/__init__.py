"""Files that people write become models: read with line numbers, refused with file, line, field and what was expected.

Reads files and the environment; starts nothing, connects to nothing. Importing this package is cheap: YAML and the kinds are loaded
when a file is read.
"""
