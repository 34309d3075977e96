"""What all byte pair encodings share: their files, and `merges` that a graph can follow."""
