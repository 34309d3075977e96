"""TensorFlow's optimizer of graphs, which tests do without."""

from __future__ import annotations


def set_optimizer(on: bool) -> None:
    """Switches it on or off, for graphs that have not run yet."""
    import tensorflow as tf

    options = {"disable_meta_optimizer": not on}
    if tf.config.optimizer.get_experimental_options() != options:
        tf.config.optimizer.set_experimental_options(options)
