"""Model pages, made of cards, records and the templates in `templates/`."""
