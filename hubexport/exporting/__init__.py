"""The main jobs: from files to finished artifacts."""
