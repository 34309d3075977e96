"""SavedModels: built from a network, written complete or not at all, and read back."""
