"""The catalogue as a static site: pages that open from a directory, without any server."""
