"""Model cards: what people know of published models, and the pages made of it and the record."""
