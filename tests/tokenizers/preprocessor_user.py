"""What users' programs do with preprocessors; run in processes of their own, without hubexport.

    python preprocessor_user.py first WORK NAME ...
    python preprocessor_user.py second WORK NAME ...

The first program uses WORK/<name>, re-exports and deletes them; the second, which has nothing of
the first, loads what that wrote. They write first.json and second.json into WORK: {name: results}.
WORK/texts.json has the texts, and the name of the one that is used in every form.
"""

import json
import shutil
import sys
from pathlib import Path

import tensorflow as tf
import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the ops
import tf_keras

BAD = [b"\xff\xfe", b"a\xc3 b", b"\xed\xa0\x80x", b"\x00", b"a\x00b", b"word " * 20_000]


def plain(value, text=False):
    """Ragged and dense tensors, dicts and sequences of them, as JSON knows them."""
    if isinstance(value, dict):
        return {key: plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, tf.RaggedTensor):
        return value.to_list()
    return [v.decode() for v in value.numpy()] if text else value.numpy().tolist()


def rank_1(tokens):
    return tokens.merge_dims(1, -1) if tokens.shape.rank > 2 else tokens


def dtypes(tensors):
    return sorted(
        {tensor.dtype.name for tensor in tf.nest.flatten(tensors, expand_composites=False)}
    )


def keras_model(preprocessor):
    """Two text inputs, the sub-objects as layers, a length that is not the default."""
    inputs = [tf_keras.Input(shape=(), dtype=tf.string, name=name) for name in ("first", "second")]
    tokenize = hub.KerasLayer(preprocessor.tokenize)
    pack = hub.KerasLayer(preprocessor.bert_pack_inputs, arguments={"seq_length": 10})
    return tf_keras.Model(inputs, pack([tokenize(text) for text in inputs]))


class Wrapper(tf.Module):
    """Another model that contains a preprocessor."""

    def __init__(self, preprocessor):
        super().__init__()
        self.preprocessor = preprocessor

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def __call__(self, text):
        return self.preprocessor(text)


def first(path: Path, texts: tf.Tensor) -> dict:
    preprocessor = hub.load(str(path))
    tokens = preprocessor.tokenize(texts)
    result = {
        "root": plain(preprocessor(texts)),
        "dtypes": dtypes([preprocessor(texts), tokens]),
        "tokens": plain(tokens),
        "tokens_shape": tokens.shape.as_list()[1:],
        "special": plain(preprocessor.tokenize.get_special_tokens_dict()),
        "empty_batch": [
            list(tensor.shape) for tensor in preprocessor(tf.constant([], tf.string)).values()
        ],
        "pair": plain(preprocessor.bert_pack_inputs([tokens, tokens], seq_length=12)),
        "serving": plain(preprocessor.signatures["serving_default"](text=texts)),
    }
    signature = preprocessor.signatures["serving_default"].structured_input_signature
    result["serving_input"] = repr(signature)
    if hasattr(preprocessor, "tokenize_with_offsets"):
        result["offsets"] = plain(preprocessor.tokenize_with_offsets(texts))
    if hasattr(preprocessor, "detokenize"):
        result["detokenize"] = plain(preprocessor.detokenize(tokens), text=True)
        again = preprocessor.detokenize(rank_1(tokens))
        assert plain(again, text=True) == result["detokenize"]
    bad = preprocessor.tokenize(tf.constant(BAD))
    result["bad"] = plain(rank_1(bad))[:-1]
    result["bad_length"] = len(plain(rank_1(bad))[-1])
    parts = [preprocessor, preprocessor.tokenize, preprocessor.bert_pack_inputs]
    result["variables"] = [
        len(part.variables) + len(part.trainable_variables) + len(part.regularization_losses)
        for part in parts
    ]
    result["asset"] = Path(asset(preprocessor.tokenize)).name
    tf.saved_model.save(Wrapper(preprocessor), str(path) + "_module")
    return result


def all_forms(path: Path, texts: tf.Tensor) -> dict:
    """More of the first program: every form of packing, tf.data and Keras."""
    preprocessor = hub.load(str(path))
    tokens, pack = preprocessor.tokenize(texts), preprocessor.bert_pack_inputs
    pairs = [(tokens, rank_1(tokens)), (rank_1(tokens), tokens), (rank_1(tokens),) * 2]
    result = {
        "pair_as_root": plain(pack([tokens, tokens])),
        "single": plain(pack([rank_1(tokens)])),
        "other_pairs": [plain(pack(list(pair), seq_length=12)) for pair in pairs],
        "length_as_tensor": plain(pack([tokens, tokens], seq_length=tf.constant(12))),
    }
    batches = tf.data.Dataset.from_tensor_slices(texts).batch(2)
    mapped = batches.map(preprocessor, num_parallel_calls=4)
    result["mapped_shapes"] = [spec.shape.as_list() for spec in mapped.element_spec.values()]
    rows = [batch["input_word_ids"].numpy().tolist() for batch in mapped]
    result["mapped"] = [row for batch in rows for row in batch]

    layer = hub.KerasLayer(str(path), trainable=False)
    text = tf_keras.Input(shape=(), dtype=tf.string)
    result["keras_root"] = plain(tf_keras.Model(text, layer(text))(texts))
    pair_model = keras_model(preprocessor)
    result["keras_weights"] = len(pair_model.weights) + len(layer.weights)
    result["keras_pair"] = plain(pair_model([texts, texts]))
    pair_model.save(str(path) + "_keras", include_optimizer=False)
    return result


def asset(tokenize):
    names = ("vocab_file", "sp_model_file", "tokenizer_file")
    (file,) = [getattr(tokenize, name) for name in names if hasattr(tokenize, name)]
    return file.asset_path.numpy().decode()


def second(path: Path, texts: tf.Tensor) -> dict:
    wrapper = tf.saved_model.load(str(path) + "_module")
    tokens = wrapper.preprocessor.tokenize(texts)
    pack = wrapper.preprocessor.bert_pack_inputs
    return {
        "root": plain(wrapper(texts)),
        "tokens": plain(tokens),
        "pair": plain(pack([tokens, tokens], seq_length=12)),
        "asset": Path(asset(wrapper.preprocessor.tokenize)).is_file(),
    }


def all_forms_again(path: Path, texts: tf.Tensor) -> dict:
    """More of the second program: the model of Keras, and a re-export of the re-export."""
    model = tf_keras.models.load_model(str(path) + "_keras", compile=False)
    again = str(path) + "_again"
    tf.saved_model.save(Wrapper(tf.saved_model.load(str(path) + "_module")), again)
    return {
        "keras_pair": plain(model([texts, texts])),
        "again": plain(tf.saved_model.load(again)(texts)),
    }


def run(step: str, work: Path, names: list[str]) -> None:
    given = json.loads((work / "texts.json").read_text("utf-8"))
    texts, thorough = tf.constant(given["texts"]), given["all_forms"]
    if step == "first":
        # Loaded side by side: none may take another's tables.
        loaded = {name: hub.load(str(work / name)) for name in names}
        results = {name: first(work / name, texts) for name in names}
        results[thorough] |= all_forms(work / thorough, texts)
        for name, preprocessor in loaded.items():
            results[name]["beside_others"] = plain(preprocessor(texts))
            shutil.rmtree(work / name)
    else:
        results = {name: second(work / name, texts) for name in names}
        results[thorough] |= all_forms_again(work / thorough, texts)
    (work / f"{step}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    run(sys.argv[1], Path(sys.argv[2]), sys.argv[3:])
