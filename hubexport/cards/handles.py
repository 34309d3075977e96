"""How tfhub.dev writes handles: the patterns of a publisher and of a model's name."""

PUBLISHER = r"[a-z\d-]+"
NAME = r"[\w.-]+(?:/[\w.-]+)*"
