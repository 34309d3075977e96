"""The peer's half of the export benchmark: its checkpoint, and its exporter.

python model_garden.py checkpoint DIRECTORY    BERT-base, BertPretrainerV2.checkpoint_items
python model_garden.py export DIRECTORY OUT    tf-models-official's export with .mlm
"""

import json
import os
import sys

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


def encoder_config():
    from official.nlp.configs import encoders

    config = encoders.EncoderConfig(type="bert_v2")
    config.bert_v2.override(CONFIG)
    return config


def checkpoint(directory):
    import numpy as np
    import tensorflow as tf
    from official.nlp.tools import export_tfhub_lib

    os.makedirs(directory, exist_ok=True)
    _, pretrainer = export_tfhub_lib._create_model(encoder_config=encoder_config(), with_mlm=True)
    generator = np.random.default_rng(0)
    for variable in pretrainer.variables:
        noise = 0.02 * generator.standard_normal(variable.shape, dtype=np.float32)
        variable.assign(noise + ("gamma" in variable.name))
    tf.train.Checkpoint(**pretrainer.checkpoint_items).save(os.path.join(directory, "ckpt"))
    with open(os.path.join(directory, "encoder.yaml"), "w") as file:
        json.dump({"bert_v2": CONFIG}, file)  # JSON is YAML
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces += [f"w{i}" for i in range(CONFIG["vocab_size"] - len(pieces))]
    with open(os.path.join(directory, "vocab.txt"), "w") as file:
        file.write("\n".join(pieces) + "\n")


def export(directory, out):
    from official.nlp.tools import export_tfhub_lib

    export_tfhub_lib.export_model(
        out,
        encoder_config=encoder_config(),
        model_checkpoint_path=os.path.join(directory, "ckpt-1"),
        with_mlm=True,
        vocab_file=os.path.join(directory, "vocab.txt"),
        do_lower_case=True,
    )


if __name__ == "__main__":
    {"checkpoint": checkpoint, "export": export}[sys.argv[1]](*sys.argv[2:])
