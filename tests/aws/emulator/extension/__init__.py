"""What moto lacks or gets wrong, one service per file, written from the API's own page, with the refusals that the API makes."""
