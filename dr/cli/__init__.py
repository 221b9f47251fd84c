"""Words and pictures only: one file per command; what is decided or done is decided and done below."""
