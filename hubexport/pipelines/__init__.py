"""Text in, answers out: what an encoder with its preprocessor can be asked, a file per task."""
