"""Tokenizers: their vocabularies, and in-graph modules from text to encoder inputs."""
