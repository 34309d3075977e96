"""Transformer-XL's words, by Moses' rules; begin at `definition`."""
