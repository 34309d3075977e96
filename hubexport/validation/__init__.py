"""Whether an artifact does what its checkpoint does: references, gates, limits and reports.

Importing this package imports nothing else; `figures`, `tolerance` and `pjrt` need numpy (and jax)
alone, so that they run where TensorFlow does not.
"""
