"""Laws that every compiled mixer obeys, as functions, and the report of `mixerc verify`."""
