"""From an artifact to a hub: archives, manifests, and the tree that they lie in."""
