"""Independent implementations that exported artifacts are compared with.

The modules that import the peers are imported by fixtures only, so that collecting tests is quick.
"""
