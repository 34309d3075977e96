"""Model Garden's own networks (tf-models-official), and checkpoints as it and TF1 write them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")

import numpy as np
import tensorflow as tf
import tf_keras
import yaml
from official.legacy.bert import configs as legacy_configs
from official.modeling import tf_utils
from official.nlp.modeling import layers, models, networks
from official.nlp.tools import tf2_bert_encoder_checkpoint_converter as converter

from tests.oracles.inputs import Tensors, random_weight
from tests.tiny import TASKS


@dataclasses.dataclass(frozen=True)
class Sizes:
    """A tiny model; no two sizes are equal, so that a swapped axis is a wrong shape."""

    vocab_size: int = 50
    hidden_size: int = 16
    num_layers: int = 2
    num_attention_heads: int = 2
    intermediate_size: int = 24
    max_position_embeddings: int = 12
    type_vocab_size: int = 3
    embedding_size: int | None = None
    activation: str = "gelu"

    def bert_config(self) -> dict[str, Any]:
        """The content of google-research/bert's bert_config.json."""
        config = {
            "attention_probs_dropout_prob": 0.1,
            "hidden_act": self.activation,
            "hidden_dropout_prob": 0.1,
            "hidden_size": self.hidden_size,
            "initializer_range": 0.02,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": self.max_position_embeddings,
            "num_attention_heads": self.num_attention_heads,
            "num_hidden_layers": self.num_layers,
            "type_vocab_size": self.type_vocab_size,
            "vocab_size": self.vocab_size,
        }
        return config | ({"embedding_size": self.embedding_size} if self.embedding_size else {})

    def encoder_config(self) -> dict[str, Any]:
        """The fields of Model Garden's BertEncoderConfig."""
        return {
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "num_attention_heads": self.num_attention_heads,
            "hidden_activation": self.activation,
            "intermediate_size": self.intermediate_size,
            "dropout_rate": 0.1,
            "attention_dropout_rate": 0.1,
            "max_position_embeddings": self.max_position_embeddings,
            "type_vocab_size": self.type_vocab_size,
            "initializer_range": 0.02,
            "embedding_size": self.embedding_size,
        }


CONFIGURATIONS: dict[str, Callable[[Sizes], tuple[str, str, str]]] = {
    "bert_config.json": lambda sizes: (
        "bert_config", "bert_config.json", json.dumps(sizes.bert_config())
    ),
    "bert.yaml": lambda sizes: (
        "encoder_config", "encoder.yaml", yaml.safe_dump({"bert": sizes.encoder_config()})
    ),
    "bert_v2.yaml": lambda sizes: (
        "encoder_config", "encoder.yaml", yaml.safe_dump({"bert_v2": sizes.encoder_config()})
    ),
    "type.yaml": lambda sizes: (
        "encoder_config",
        "encoder.yaml",
        yaml.safe_dump({
            "type": "bert", "bert": sizes.encoder_config(), "albert": {"hidden_size": 4}
        }),
    ),
    "params.yaml": lambda sizes: (
        "encoder_config",
        "params.yaml",
        yaml.safe_dump({
            "runtime": {"distribution_strategy": "tpu"},
            "task": {
                "init_checkpoint": "",
                "model": {
                    "cls_heads": [{"name": "next_sentence", "num_classes": 2}],
                    "encoder": {
                        "any": None,
                        "type": "bert_v2",
                        "albert": {"hidden_size": 4},
                        "bert_v2": sizes.encoder_config(),
                    },
                },
            },
            "trainer": {"train_steps": 1},
        }),
    ),
}  # fmt: skip
"""The forms of configuration files: form -> (argument of export_encoder, file name, content)."""


def write_configuration(form: str, sizes: Sizes, directory: Path) -> dict[str, Path]:
    """Writes a configuration file; the argument that names it to `export_encoder`."""
    argument, name, text = CONFIGURATIONS[form](sizes)
    (directory / name).write_text(text)
    return {argument: directory / name}


def functional_encoder(sizes: Sizes) -> tf_keras.Model:
    """`BertEncoder`: its checkpoints number the layers."""
    return networks.BertEncoder(
        **_keywords(sizes), embedding_width=sizes.embedding_size, dict_outputs=True
    )


def encoder_v2(sizes: Sizes) -> tf_keras.layers.Layer:
    """`BertEncoderV2`: its checkpoints have attribute paths."""
    return networks.BertEncoderV2(**_keywords(sizes), embedding_width=sizes.embedding_size)


def talking_heads_encoder(sizes: Sizes) -> tf_keras.Model:
    """Talking-heads attention and gated GELU, as Model Garden trains them."""
    activation = tf_utils.get_activation(sizes.activation)
    return networks.EncoderScaffold(
        num_hidden_instances=sizes.num_layers,
        pooled_output_dim=sizes.hidden_size,
        embedding_cfg={
            "vocab_size": sizes.vocab_size,
            "type_vocab_size": sizes.type_vocab_size,
            "hidden_size": sizes.hidden_size,
            "max_seq_length": sizes.max_position_embeddings,
            "initializer": tf_keras.initializers.TruncatedNormal(stddev=0.02),
            "dropout_rate": 0.1,
        },
        hidden_cls=layers.TransformerScaffold,
        hidden_cfg={
            "num_attention_heads": sizes.num_attention_heads,
            "inner_dim": sizes.intermediate_size,
            "inner_activation": activation,
            "attention_cls": layers.TalkingHeadsAttention,
            "feedforward_cls": layers.GatedFeedforward,
            "attention_cfg": {
                "num_heads": sizes.num_attention_heads,
                "key_dim": sizes.hidden_size // sizes.num_attention_heads,
                "dropout": 0.1,
                "name": "self_attention",
            },
            "feedforward_cfg": {
                "inner_dim": sizes.intermediate_size,
                "inner_activation": activation,
                "dropout": 0.1,
                "name": "feedforward",
            },
            "dropout_rate": 0.1,
            "attention_dropout_rate": 0.1,
        },
        dict_outputs=True,
        return_all_layer_outputs=True,
    )


ENCODERS: dict[str, Callable[[Sizes], Any]] = {
    "functional": functional_encoder,
    "v2": encoder_v2,
    "talking_heads": talking_heads_encoder,
}


def _keywords(sizes: Sizes) -> dict[str, Any]:
    return {
        "vocab_size": sizes.vocab_size,
        "hidden_size": sizes.hidden_size,
        "num_layers": sizes.num_layers,
        "num_attention_heads": sizes.num_attention_heads,
        "intermediate_size": sizes.intermediate_size,
        "activation": tf_utils.get_activation(sizes.activation),
        "max_sequence_length": sizes.max_position_embeddings,
        "type_vocab_size": sizes.type_vocab_size,
    }


def pretrainer(
    sizes: Sizes, encoder: Any, *, next_sentence: bool, classes: int | None = None
) -> models.BertPretrainerV2:
    """`BertPretrainerV2` around an encoder, every weight random.

    Args:
      sizes: those of the encoder.
      encoder: one of `ENCODERS`.
      next_sentence: whether there is that head.
      classes: of a head "sentence_prediction", after that one; None for no such head.
    """
    heads = []
    if next_sentence:
        heads.append(
            layers.ClassificationHead(
                inner_dim=sizes.hidden_size, num_classes=2, dropout_rate=0.1, name="next_sentence"
            )
        )
    if classes is not None:
        heads.append(
            layers.ClassificationHead(
                inner_dim=sizes.hidden_size,
                num_classes=classes,
                activation="tanh",
                dropout_rate=0.1,
                name="sentence_prediction",
            )
        )
    model = models.BertPretrainerV2(
        encoder,
        mlm_activation=tf_utils.get_activation(sizes.activation),
        classification_heads=heads,
    )
    model(model.inputs)
    randomize(model.variables, seed=1)
    return model


@functools.cache
def trained(
    sizes: Sizes, encoder: str, *, next_sentence: bool, classes: int | None = None
) -> models.BertPretrainerV2:
    """`pretrainer` around an encoder of `ENCODERS`; the same for all who ask, to be read."""
    return pretrainer(sizes, ENCODERS[encoder](sizes), next_sentence=next_sentence, classes=classes)


def randomize(variables: Iterable[tf.Variable], seed: int) -> None:
    """Gives every variable a random value that suits its name."""
    generator = np.random.default_rng(seed)
    for variable in variables:
        if variable.dtype.is_floating:
            # Keras calls each lookup table "embeddings"; the layer's name comes before it.
            name = variable.name.partition(":")[0]
            variable.assign(random_weight(generator, name, tuple(variable.shape)))


def with_old_adam(model: tf_keras.Model) -> tf_keras.optimizers.legacy.Adam:
    """Keras' older Adam, with random slots for every variable of the model."""
    optimizer = tf_keras.optimizers.legacy.Adam()
    optimizer._create_all_weights(model.trainable_variables)
    randomize(optimizer.variables(), seed=2)
    return optimizer


def with_new_adam(model: tf_keras.Model) -> tf_keras.optimizers.Adam:
    """Keras' newer Adam, with random slots for every variable of the model."""
    optimizer = tf_keras.optimizers.Adam()
    optimizer.build(model.trainable_variables)
    randomize(optimizer.variables, seed=2)
    return optimizer


def as_older_functional(encoder: tf_keras.Model) -> tf_keras.Model:
    """The same graph of layers without the attributes that later releases gave to encoders."""
    return tf_keras.Model(inputs=encoder.inputs, outputs=encoder.outputs)


def expected_outputs(model: models.BertPretrainerV2, inputs: Tensors) -> Tensors:
    """The outputs under the names of the exported artifact, `nsp_logits` and `classifier_logits`
    of the heads that there are."""
    outputs = model({name: tf.constant(value) for name, value in inputs.items()}, training=False)
    expected: dict[str, Any] = {
        "encoder_outputs": [each.numpy() for each in outputs["encoder_outputs"]],
        **{name: outputs[name].numpy() for name in ("sequence_output", "pooled_output")},
        "mlm_logits": outputs["mlm_logits"].numpy(),
    }
    if "next_sentence" in outputs:
        expected["nsp_logits"] = outputs["next_sentence"].numpy()
    if "sentence_prediction" in outputs:
        expected["classifier_logits"] = outputs["sentence_prediction"].numpy()
    return expected


def next_sentence_pooled(model: models.BertPretrainerV2, inputs: Tensors) -> np.ndarray:
    """What the next-sentence head's own pooler gives."""
    sequence = expected_outputs(model, inputs)["sequence_output"]
    return model.classification_heads[0](tf.constant(sequence), only_project=True).numpy()


def write_tf1_checkpoint(
    sizes: Sizes,
    prefix: Path,
    *,
    heads: bool = True,
    slots: bool = True,
    task: str | None = None,
) -> Tensors:
    """A google-research/bert checkpoint by TF1's Saver, random; the model's own values.

    Args:
      sizes: of the model; the same name always gets the same value.
      prefix: of the checkpoint's files.
      heads: whether with those of run_pretraining.py.
      slots: whether with Adam's, and the step.
      task: the program that fine-tuned it, a key of `TF1_TASKS`; these write no other heads.
      classes: that `run_classifier` tells apart.
    """
    shapes = _tf1_shapes(sizes, heads=heads and task is None)
    if task is not None:
        scope, rows = TASKS[task]
        shapes[f"{scope}output_weights"] = (rows, sizes.hidden_size)
        shapes[f"{scope}output_bias"] = (rows,)
    values = {
        name: random_weight(np.random.default_rng(zlib.crc32(name.encode())), name, shape)
        for name, shape in shapes.items()
    }
    stored, generator = dict(values), np.random.default_rng(3)
    if slots:
        for name, value in values.items():
            for slot in ("adam_m", "adam_v"):
                stored[f"{name}/{slot}"] = generator.standard_normal(value.shape, np.float32)
        stored["global_step"] = np.array(1_000_000, np.int64)
    # The op that TF1's Saver consists of; a graph and a session around it give the same bytes.
    names = sorted(stored)
    tf.raw_ops.SaveV2(
        prefix=str(prefix),
        tensor_names=names,
        shape_and_slices=[""] * len(names),
        tensors=[stored[name] for name in names],
    )
    return values


def _tf1_shapes(sizes: Sizes, *, heads: bool) -> dict[str, tuple[int, ...]]:
    hidden, inner = sizes.hidden_size, sizes.intermediate_size
    dense = {}  # scope -> (size in, size out)
    norms = ["bert/embeddings/LayerNorm"]
    for i in range(sizes.num_layers):
        layer = f"bert/encoder/layer_{i}"
        for name in ("query", "key", "value"):
            dense[f"{layer}/attention/self/{name}"] = (hidden, hidden)
        dense[f"{layer}/attention/output/dense"] = (hidden, hidden)
        dense[f"{layer}/intermediate/dense"] = (hidden, inner)
        dense[f"{layer}/output/dense"] = (inner, hidden)
        norms += [f"{layer}/attention/output/LayerNorm", f"{layer}/output/LayerNorm"]
    dense["bert/pooler/dense"] = (hidden, hidden)
    shapes: dict[str, tuple[int, ...]] = {
        "bert/embeddings/word_embeddings": (sizes.vocab_size, hidden),
        "bert/embeddings/position_embeddings": (sizes.max_position_embeddings, hidden),
        "bert/embeddings/token_type_embeddings": (sizes.type_vocab_size, hidden),
    }
    if heads:
        dense["cls/predictions/transform/dense"] = (hidden, hidden)
        norms.append("cls/predictions/transform/LayerNorm")
        shapes["cls/predictions/output_bias"] = (sizes.vocab_size,)
        shapes["cls/seq_relationship/output_weights"] = (2, hidden)
        shapes["cls/seq_relationship/output_bias"] = (2,)
    for scope, shape in dense.items():
        shapes[f"{scope}/kernel"], shapes[f"{scope}/bias"] = shape, shape[1:]
    for scope in norms:
        shapes[f"{scope}/gamma"] = shapes[f"{scope}/beta"] = (hidden,)
    return shapes


_CONVERTED: dict[tuple[str, bytes], models.BertPretrainerV2] = {}


def converted_tf1(bert_config: Path, prefix: Path, directory: Path) -> models.BertPretrainerV2:
    """A TF1 checkpoint through Model Garden's converter into a `BertPretrainerV2`.

    The same one for the same weights of a model, to be read; `directory` takes what is written.
    """
    config = legacy_configs.BertConfig.from_json_file(str(bert_config))
    key = config.to_json_string(), _digest_of_weights(prefix)
    if key not in _CONVERTED:
        _CONVERTED[key] = _convert_tf1(config, prefix, directory)
    return _CONVERTED[key]


def _digest_of_weights(prefix: Path) -> bytes:
    reader = tf.train.load_checkpoint(str(prefix))
    digest = hashlib.sha256()
    for name in sorted(reader.get_variable_to_shape_map()):
        if not name.endswith(("/adam_m", "/adam_v")) and name != "global_step":
            digest.update(name.encode() + reader.get_tensor(name).tobytes())
    return digest.digest()


def _convert_tf1(
    config: legacy_configs.BertConfig, prefix: Path, directory: Path
) -> models.BertPretrainerV2:
    converter.convert_checkpoint(
        bert_config=config,
        output_path=str(directory / "converted"),
        v1_checkpoint=str(prefix),
        checkpoint_model_name="model",
        converted_model="pretrainer",
    )
    sizes = Sizes(
        vocab_size=config.vocab_size,
        hidden_size=config.hidden_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
        intermediate_size=config.intermediate_size,
        max_position_embeddings=config.max_position_embeddings,
        type_vocab_size=config.type_vocab_size,
        activation=config.hidden_act,
    )
    model = pretrainer(sizes, functional_encoder(sizes), next_sentence=False)
    status = tf.train.Checkpoint(model=model).restore(str(directory / "converted-1"))
    status.assert_existing_objects_matched()
    return model
