"""Makers of reference outputs, each by an implementation that is not hubexport's."""
