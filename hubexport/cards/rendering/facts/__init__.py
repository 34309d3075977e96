"""What the templates of a model's page read: one module for each kind of model."""
