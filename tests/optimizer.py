"""TensorFlow's optimizer of graphs, and its records of who made a node, which tests do without."""

from __future__ import annotations

import functools


def set_optimizer(on: bool) -> None:
    """Switches it on or off, for graphs that have not run yet."""
    import tensorflow as tf

    options = {"disable_meta_optimizer": not on}
    if tf.config.optimizer.get_experimental_options() != options:
        tf.config.optimizer.set_experimental_options(options)


def leave_out_tracebacks() -> None:
    """From now on nodes do not keep the Python stack that made them, which takes long to walk.

    Only TensorFlow's longer error messages show it.
    """
    from tensorflow.python.framework import ops

    if not isinstance(ops._create_c_op, functools.partial):
        ops._create_c_op = functools.partial(ops._create_c_op, extract_traceback=False)
