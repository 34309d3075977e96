"""What a checkpoint or a SavedModel is, found out without TensorFlow and put into words."""
