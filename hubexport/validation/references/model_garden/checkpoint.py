"""TensorFlow checkpoints into Model Garden's networks, with proof that all of them arrived.

Nothing is taken on TensorFlow's word: every variable is filled with NaN first, and afterwards the
bytes of variables and of the checkpoint's tensors must be the same set.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import numpy as np

from hubexport.checkpoints.source import TensorSource
from hubexport.checkpoints.training_state import training_state
from hubexport.errors import CheckpointError, TensorMismatchError, some_of
from hubexport.families.family import Family
from hubexport.validation.references.model_garden.layout import Layout
from hubexport.validation.references.sources import first_line

_ATTRIBUTE = "/.ATTRIBUTES/VARIABLE_VALUE"


@dataclasses.dataclass(frozen=True)
class Restored:
    """What a checkpoint fills of a model.

    Attributes:
      parts: "pooler", "masked_lm", and NAME/logits and NAME/pooler_dense of heads, beside the
        encoder.
      left_out: tensors that the model does not have.
    """

    parts: frozenset[str]
    left_out: tuple[str, ...]


def restore(
    source: TensorSource, layout: Layout, model: Any, family: Family, apart: Collection[str]
) -> Restored:
    """Fills a `BertPretrainerV2` from its checkpoint.

    Args:
      source: the checkpoint.
      layout: of `layout.find_layout`.
      model: of `build_pretrainer`.
      family: knows the heads that nobody compares.
      apart: tensors of google-research/bert's heads, which the model does not have.

    Raises:
      CheckpointError: TensorFlow cannot restore it.
      TensorMismatchError: variables that it does not fill, or tensors that nothing takes.
    """
    import tensorflow as tf

    prefix = _prefix(source)
    for variable in model.variables:
        if variable.dtype.is_floating:
            variable.assign(tf.fill(variable.shape, tf.constant(np.nan, variable.dtype)))
    errors = (ValueError, TypeError, KeyError, AssertionError, tf.errors.OpError)
    try:
        if source.layout == "tf1":
            _read_tf1(source, prefix, model, apart)
        else:
            _read_tf2(prefix, layout, model)
    except errors as error:
        raise CheckpointError(
            "TensorFlow cannot restore the checkpoint into Model Garden's model",
            [("checkpoint", prefix), ("TensorFlow", first_line(error))],
            "pass the configuration that the checkpoint was trained with.",
        ) from error
    return _check(source, prefix, model, family, apart)


def reader(source: TensorSource) -> Callable[[str], np.ndarray]:
    """A function that gives a name-based checkpoint's tensor, read by TensorFlow."""
    import tensorflow as tf

    read: Callable[[str], np.ndarray] = tf.train.load_checkpoint(_prefix(source)).get_tensor
    return read


def _prefix(source: TensorSource) -> str:
    return next(str(f)[: -len(".index")] for f in source.files if f.suffix == ".index")


def _read_tf2(prefix: str, layout: Layout, model: Any) -> None:
    objects: dict[str, Any] = {layout.encoder: model.encoder_network}
    if layout.masked_lm is not None:
        objects[layout.masked_lm] = model.masked_lm
    for found, head in zip(layout.heads, model.classification_heads, strict=True):
        if found.path is not None:
            objects[found.path] = head
        if found.pooler is not None and found.pooler != f"{found.path}/dense":
            objects[found.pooler] = head.dense
    _mounted(objects).read(prefix).expect_partial()


def _mounted(objects: Mapping[str, Any]) -> Any:
    """A `tf.train.Checkpoint` with each object at its path."""
    import tensorflow as tf

    children: dict[str, dict[str, Any]] = {}
    for path, value in objects.items():
        if path:
            name, _, below = path.partition("/")
            children.setdefault(name, {})[below] = value
    mounted = {
        name: below[""] if below.keys() == {""} else _mounted(below)
        for name, below in children.items()
    }
    return tf.train.Checkpoint(objects.get(""), **mounted)


def _read_tf1(source: TensorSource, prefix: str, model: Any, apart: Collection[str]) -> None:
    """By the names that Model Garden's converter gives to google-research/bert's variables.

    The converter itself would put every number into a graph first, which takes fifteen times the
    checkpoint's size in memory. Beside names it changes shapes: attention heads get an axis.
    """
    import tensorflow as tf
    from official.nlp.tools import tf1_bert_checkpoint_converter_lib as converter

    # It does not know of factorized embeddings, which the network itself has.
    projection = ("bert/encoder/embedding_hidden_mapping_in", "embedding_projection")
    reader = tf.train.load_checkpoint(prefix)
    variables = {variable.name.removesuffix(":0"): variable for variable in model.variables}
    left_out = {*training_state(source), *apart}
    misshaped = []
    for name, tensor in source.tensors.items():
        renamed = name
        for old, new in (projection, *converter.BERT_V2_NAME_REPLACEMENTS):
            renamed = renamed.replace(old, new)
        variable = variables.get(renamed)
        if variable is None or name in left_out:
            continue
        if tensor.size != variable.shape.num_elements():
            misshaped.append(f"{tensor}, needed {variable.shape.as_list()}")
        else:
            variable.assign(np.reshape(reader.get_tensor(name), variable.shape))
    if misshaped:
        raise ValueError(f"misshaped: {some_of(misshaped)}")


def _check(
    source: TensorSource, prefix: str, model: Any, family: Family, apart: Collection[str]
) -> Restored:
    """What was filled, after both sides were compared by their bytes."""
    import tensorflow as tf

    reader = tf.train.load_checkpoint(prefix)
    no_part = {*training_state(source), *apart}
    keys = {_name(key): key for key in reader.get_variable_to_shape_map()}
    stored = {
        name: _digest(reader.get_tensor(keys[name]))
        for name in source.tensors
        if name not in no_part
    }
    values = {id(variable): _digest(variable.numpy()) for variable in model.variables}
    arrived = set(stored.values())
    filled, missing = set(), []
    for part, variables in _parts(model).items():
        absent = [each.name for each in variables if values[id(each)] not in arrived]
        if part == "encoder" or len(absent) < len(variables):
            missing += absent
        if not absent:
            filled.add(part)
    used = set(values.values())
    others = [name for name, digest in stored.items() if digest not in used]
    left_out = [
        name for name in others if any(p.fullmatch(name) for p in family.other_heads.values())
    ]
    unused = [name for name in others if name not in left_out]
    if missing or unused:
        raise TensorMismatchError(
            "checkpoint and Model Garden's model are not the same tensors",
            [
                ("checkpoint", prefix),
                *(
                    (f"{kind} ({len(names)})", some_of(names))
                    for kind, names in (("not filled", missing), ("not used", unused))
                    if names
                ),
            ],
            "pass a complete checkpoint and the configuration that it was trained with.",
        )
    return Restored(frozenset(filled - {"encoder"}), tuple(left_out))


def _parts(model: Any) -> dict[str, list[Any]]:
    encoder, pooler = model.encoder_network, model.encoder_network.pooler_layer
    of_pooler = {id(variable) for variable in pooler.variables}
    of_encoder = {id(variable) for variable in encoder.variables}
    parts = {
        "encoder": _without(encoder.variables, of_pooler),
        "pooler": list(pooler.variables),
        "masked_lm": _without(model.masked_lm.variables, of_encoder),
    }
    for head in model.classification_heads:
        parts[f"{head.name}/logits"] = head.out_proj.variables
        if head.inner_dim:
            parts[f"{head.name}/pooler_dense"] = head.dense.variables
    return parts


def _name(key: str) -> str:
    """A key as the attribute names that it was made of; TensorFlow escapes their `/` and `.`."""
    if not key.endswith(_ATTRIBUTE):
        return key
    key = key.removesuffix(_ATTRIBUTE)
    return re.sub(r"\.([.S])", lambda match: "." if match[1] == "." else "/", key)


def _without(variables: Iterable[Any], others: set[int]) -> list[Any]:
    return [variable for variable in variables if id(variable) not in others]


def _digest(value: np.ndarray) -> bytes:
    """Of the numbers alone: google-research/bert keeps attention heads in other shapes."""
    return hashlib.sha256(np.ascontiguousarray(value).tobytes()).digest()
