"""The peer's half of the export benchmark: its checkpoint, and its exporter.

python model_garden.py checkpoint DIRECTORY [SIZES]     BertPretrainerV2.checkpoint_items
python model_garden.py export DIRECTORY OUT [SIZES]     tf-models-official's export with .mlm
python model_garden.py talking_heads DIRECTORY OUT      talking-heads BERT-base, and its SavedModel
python model_garden.py preprocessing VOCABULARY OUT     tf-models-official's preprocessor

SIZES: a JSON file with values of the configuration; BERT-base without it.
"""

import json
import os
import sys
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")

CONFIG = {
    "vocab_size": 30522,
    "hidden_size": 768,
    "num_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
}


def encoder_config(sizes):
    from official.nlp.configs import encoders

    if sizes:
        with open(sizes) as file:
            CONFIG.update(json.load(file))

    config = encoders.EncoderConfig(type="bert_v2")
    config.bert_v2.override(CONFIG)
    return config


def checkpoint(directory, sizes=None):
    import tensorflow as tf
    from official.nlp.tools import export_tfhub_lib

    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    _, pretrainer = export_tfhub_lib._create_model(
        encoder_config=encoder_config(sizes), with_mlm=True
    )
    randomize(pretrainer.variables)
    tf.train.Checkpoint(**pretrainer.checkpoint_items).save(str(directory / "ckpt"))
    write_config(directory)
    write_vocabulary(directory)


def randomize(variables):
    import numpy as np

    generator = np.random.default_rng(0)
    for variable in variables:
        noise = 0.02 * generator.standard_normal(variable.shape, dtype=np.float32)
        variable.assign(noise + ("gamma" in variable.name))


def write_config(directory):
    (directory / "encoder.yaml").write_text(json.dumps({"bert_v2": CONFIG}))  # JSON is YAML


def write_vocabulary(directory):
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [f"w{i}" for i in range(CONFIG["vocab_size"] - len(pieces))]
    (directory / "vocab.txt").write_text("\n".join(pieces) + "\n")


def export(directory, out, sizes=None):
    from official.nlp.tools import export_tfhub_lib

    export_tfhub_lib.export_model(
        out,
        encoder_config=encoder_config(sizes),
        model_checkpoint_path=str(Path(directory) / "ckpt-1"),
        with_mlm=True,
        vocab_file=str(Path(directory) / "vocab.txt"),
        do_lower_case=True,
    )


def preprocessing(vocabulary, out):
    from official.nlp.tools import export_tfhub_lib

    export_tfhub_lib.export_preprocessing(
        out,
        vocab_file=vocabulary,
        do_lower_case=True,
        tokenize_with_offsets=False,
        default_seq_length=128,
    )


def talking_heads(directory, out):
    """Model Garden has no exporter for it: the SavedModel is Keras' own."""
    import tensorflow as tf
    import tf_keras
    from official.modeling import tf_utils
    from official.nlp.modeling import layers, networks

    heads, width = CONFIG["num_attention_heads"], CONFIG["hidden_size"]
    activation = tf_utils.get_activation("gelu")
    block = {
        "num_attention_heads": heads,
        "inner_dim": CONFIG["intermediate_size"],
        "inner_activation": activation,
        "attention_cls": layers.TalkingHeadsAttention,
        "attention_cfg": {"num_heads": heads, "key_dim": width // heads, "name": "self_attention"},
        "feedforward_cls": layers.GatedFeedforward,
        "feedforward_cfg": {
            "inner_dim": CONFIG["intermediate_size"],
            "inner_activation": activation,
            "dropout": 0.1,
            "name": "feedforward",
        },
    }
    encoder = networks.EncoderScaffold(
        pooled_output_dim=width,
        embedding_cfg={
            "vocab_size": CONFIG["vocab_size"],
            "type_vocab_size": CONFIG["type_vocab_size"],
            "hidden_size": width,
            "max_seq_length": CONFIG["max_position_embeddings"],
            "dropout_rate": 0.1,
            "initializer": tf_keras.initializers.Zeros(),
        },
        num_hidden_instances=CONFIG["num_layers"],
        hidden_cls=layers.TransformerScaffold,
        hidden_cfg=block,
        dict_outputs=True,
        return_all_layer_outputs=True,
    )
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    randomize(encoder.variables)
    tf.train.Checkpoint(encoder=encoder).write(str(directory / "ckpt-1"))
    write_config(directory)
    write_vocabulary(directory)
    inputs = {
        name: tf_keras.Input((None,), dtype="int32", name=name)
        for name in ("input_word_ids", "input_mask", "input_type_ids")
    }
    tf_keras.Model(inputs, encoder(list(inputs.values()))).save(out, include_optimizer=False)


if __name__ == "__main__":
    commands = {
        "checkpoint": checkpoint,
        "export": export,
        "talking_heads": talking_heads,
        "preprocessing": preprocessing,
    }
    commands[sys.argv[1]](*sys.argv[2:])
