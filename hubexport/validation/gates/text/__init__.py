"""What the gates of preprocessors look with and at.

`client` calls an artifact and says what it does wrong; `packing`, `calls` and `graph` measure one
side of the interface each; `cases` puts a reference's texts through it.
"""
