"""What platforms want to know of a model in a form that machines read, made of cards."""
