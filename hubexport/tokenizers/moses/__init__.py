"""Moses' tokenization: its `rules` as regular expressions and tables, and the `graph` of them."""
