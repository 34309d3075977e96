"""`hubexport run`: texts through a SavedModel, a batch at a time, and what it gives into a file."""
