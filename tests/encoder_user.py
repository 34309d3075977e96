"""What a user's program does with an encoder; run in a process of its own, without hubexport.

    python encoder_user.py first WORK      uses WORK/encoder, re-exports it, deletes the original
    python encoder_user.py more WORK       uses WORK/encoder on two devices, and in Keras 3
    python encoder_user.py second WORK     loads what the first one wrote
    python encoder_user.py heads WORK      calls and trains each head of WORK/heads.json

Prints one JSON object {check: result}.
"""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

LENGTHS = (7, 1, 4)  # tokens in each row of a batch


def inputs(batch=3, sequence=7, seed=0):
    generator = np.random.default_rng(seed)
    lengths = np.array([min(LENGTHS[i % 3], sequence) for i in range(batch)])
    return {
        "input_word_ids": tf.constant(generator.integers(0, 50, (batch, sequence)), tf.int32),
        "input_mask": tf.constant(np.arange(sequence) < lengths[:, None], tf.int32),
        "input_type_ids": tf.constant(generator.integers(0, 2, (batch, sequence)), tf.int32),
    }


def mlm_inputs(**sizes):
    x = inputs(**sizes)
    return {**x, "masked_lm_positions": tf.zeros_like(x["input_mask"])[:, :2]}


def difference(one, other):
    return float(tf.reduce_max(tf.abs(one - other)))


def shapes(outputs):
    return {
        key: [list(t.shape) for t in value] if isinstance(value, list) else list(value.shape)
        for key, value in outputs.items()
    }


def plain_tensorflow(path):
    """Nothing but tensorflow is imported."""
    encoder = tf.saved_model.load(path)
    x = inputs()
    outputs = encoder(x)
    trained = [encoder(x, training=True)["sequence_output"] for _ in range(2)]
    still = [encoder(x, training=False)["sequence_output"] for _ in range(2)]
    served = encoder.signatures["serving_default"](**x)
    mlm = encoder.mlm(mlm_inputs(), training=False)
    mlm_signature = encoder.signatures["mlm"](**mlm_inputs())
    try:
        encoder(inputs(sequence=25))
        too_long = "no error"
    except tf.errors.InvalidArgumentError as error:
        too_long = type(error).__name__
    own = {v.name for v in encoder.variables}
    concrete = encoder.signatures["serving_default"]
    padded = {key: tf.pad(value, [[0, 0], [0, 5]]) for key, value in x.items()}
    return {
        "modules": sorted({"hubexport", "tf_keras", "tensorflow_hub"} & set(sys.modules)),
        "shapes": shapes(outputs),
        "dtypes": sorted({t.dtype.name for t in tf.nest.flatten(outputs)}),
        "last_is_sequence_output": difference(
            outputs["encoder_outputs"][-1], outputs["sequence_output"]
        ),
        "default_is_pooled": difference(outputs["default"], outputs["pooled_output"]),
        "other_shapes": [
            list(encoder(inputs(b, s))["sequence_output"].shape)
            for b, s in ((1, 1), (2, 24), (5, 3))
        ],
        "dropout_differs": difference(*trained) > 0,
        "inference_repeats": difference(*still),
        "padding_changes_nothing": difference(
            encoder(padded)["sequence_output"][0, :7], outputs["sequence_output"][0]
        ),
        "batch_changes_nothing": difference(
            encoder({key: value[:1] for key, value in x.items()})["pooled_output"],
            outputs["pooled_output"][:1],
        ),
        "signature": {
            "names": sorted(served),
            "input_names": sorted(concrete.structured_input_signature[1]),
            "output_shapes": {k: v.shape.as_list() for k, v in concrete.structured_outputs.items()},
            "same": difference(served["sequence_output"], outputs["sequence_output"]),
        },
        "mlm": {
            "shapes": shapes(mlm),
            "same": difference(mlm["sequence_output"], outputs["sequence_output"]),
            "signature_same": difference(mlm_signature["mlm_logits"], mlm["mlm_logits"]),
            "own_variables": sorted(v.name for v in encoder.mlm.variables if v.name not in own),
            "holds_encoder": own <= {v.name for v in encoder.mlm.trainable_variables},
        },
        "nsp": {
            "shape": list(encoder.nsp(x)["nsp_logits"].shape),
            "own_variables": sorted(v.name for v in encoder.nsp.variables if v.name not in own),
        },
        "variables": sorted(own),
        "trainable": sorted(v.name for v in encoder.trainable_variables),
        "regularization_losses": len(encoder.regularization_losses),
        "too_long": too_long,
        "vocab": Path(encoder.vocab_file.asset_path.numpy().decode()).read_text().split()[:2],
        "do_lower_case": bool(encoder.do_lower_case.numpy()),
    }


def wide(x):
    """The same numbers as int64."""
    return {key: tf.cast(value, tf.int64) for key, value in x.items()}


def int64_inputs(path):
    """As NumPy and tensorflow_text make them."""
    encoder = tf.saved_model.load(path)
    calls = {"encoder": (encoder, inputs()), "mlm": (encoder.mlm, mlm_inputs())}
    calls["nsp"] = (encoder.nsp, inputs())
    result = {}
    for name, (call, x) in calls.items():
        outputs = tf.nest.flatten(call(x))
        numpy = {key: value.numpy().astype(np.int64) for key, value in x.items()}
        result[name] = [
            max(difference(*pair) for pair in zip(tf.nest.flatten(call(y)), outputs, strict=True))
            for y in (wide(x), numpy)
        ]
        with tf.GradientTape() as tape:
            loss = loss_of(call(wide(x), training=True))
        gradients = tape.gradient(loss, call.trainable_variables)
        result[name].append(sum(gradient is None for gradient in gradients))
    mixed = {**inputs(), "masked_lm_positions": tf.zeros([3, 2], tf.int64)}
    try:
        encoder.mlm(mixed)
        result["mixed"] = "no error"
    except Exception as error:
        result["mixed"] = f"{type(error).__name__}: {error}"
    return result


def loss_of(outputs):
    terms = [outputs["pooled_output"], *outputs["encoder_outputs"]]
    terms += [outputs[key] for key in ("mlm_logits", "nsp_logits") if key in outputs]
    return tf.add_n([tf.reduce_mean(tf.square(term - 0.3)) for term in terms])


def gradients(path):
    encoder = tf.saved_model.load(path)
    result = {}
    for name, call, x in (
        ("encoder", encoder, inputs()),
        ("mlm", encoder.mlm, mlm_inputs()),
        ("nsp", encoder.nsp, inputs()),
    ):
        variables = list(call.trainable_variables)
        with tf.GradientTape() as tape:
            loss = loss_of(call(x, training=True))
        grads = tape.gradient(loss, variables)
        dense = [tf.convert_to_tensor(g) for g in grads if g is not None]
        result[name] = {
            "missing": [v.name for v, g in zip(variables, grads, strict=True) if g is None],
            "finite": all(bool(tf.reduce_all(tf.math.is_finite(g))) for g in dense),
        }

    def loss_in_function(x):
        with tf.GradientTape() as tape:
            loss = loss_of(encoder(x, training=False))
        grads = tape.gradient(loss, encoder.trainable_variables)
        return loss, tf.add_n([tf.reduce_sum(tf.abs(tf.convert_to_tensor(g))) for g in grads])

    eager = [float(value) for value in loss_in_function(inputs())]
    specs = {name: tf.TensorSpec([None, None], tf.int32) for name in inputs()}
    for name, compiled in (("function", None), ("jit", True)):
        function = tf.function(
            loss_in_function, input_signature=[specs], autograph=False, jit_compile=compiled
        )
        values = [float(value) for value in function(inputs())]
        function(inputs(2, 5))  # another shape
        result[f"{name}_gradients"] = max(
            abs(a - b) / abs(b) for a, b in zip(values, eager, strict=True)
        )
    return result


def persistent(path):
    """Tapes that are asked more than once; eagerly, they take their time."""
    encoder = tf.saved_model.load(path)
    result = {}
    for name, call, x in (
        ("encoder", encoder, inputs()),
        ("mlm", encoder.mlm, mlm_inputs()),
        ("nsp", encoder.nsp, inputs()),
    ):
        variables = list(call.trainable_variables)
        with tf.GradientTape(persistent=True) as tape:
            outputs = call(x, training=True)
            loss = loss_of(outputs)
            other = tf.reduce_sum(outputs["pooled_output"])
        grads = [tape.gradient(target, variables) for target in (loss, loss, other)]
        result[name] = {
            "repeats": max(
                difference(tf.convert_to_tensor(a), tf.convert_to_tensor(b))
                for a, b in zip(grads[0], grads[1], strict=True)
                if a is not None
            ),
            "other_target": sum(g is not None for g in grads[2]) > 0,
        }
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            loss = loss_of(encoder(inputs()))
        first_order = inner.gradient(loss, encoder.trainable_variables[-1])
        norm = tf.reduce_sum(first_order**2)
    result["second_order"] = outer.gradient(norm, encoder.trainable_variables[-1]) is not None
    return result


def compiled(path):
    encoder = tf.saved_model.load(path)
    function = tf.function(lambda x: encoder(x, training=False), autograph=False, jit_compile=True)
    x = inputs()
    return difference(function(x)["sequence_output"], encoder(x)["sequence_output"])


def classifier(path):
    """A model in tf_keras' functional API, and the layer in it that is the encoder."""
    import tensorflow_hub as hub
    import tf_keras

    x = {
        key: tf_keras.Input([None], dtype=tf.int32, name=key)
        for key in ("input_word_ids", "input_mask", "input_type_ids")
    }
    layer = hub.KerasLayer(path, trainable=True)
    outputs = layer(x)
    mean = tf_keras.layers.GlobalAveragePooling1D()(outputs["sequence_output"])
    both = tf_keras.layers.Concatenate()([outputs["pooled_output"], mean])
    model = tf_keras.Model(x, tf_keras.layers.Dense(2)(both))
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(1e-2), loss)
    return model, layer


def mirrored(path):
    """The same on two devices."""
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        replicated, _ = classifier(path)
    x, y = inputs(batch=8), np.arange(8) % 2
    history = replicated.fit(x, y, epochs=4, batch_size=4, verbose=0).history
    return {"loss": history["loss"], "replicas": strategy.num_replicas_in_sync}


def keras(path):
    """A classifier, trained; the head as a layer."""
    import tensorflow_hub as hub
    import tf_keras

    x, y = inputs(batch=8), np.arange(8) % 2
    model, layer = classifier(path)
    before = {v.name: v.numpy() for v in layer.trainable_weights}
    history = model.fit(x, y, epochs=8, batch_size=4, verbose=0).history["loss"]
    unmoved = [v.name for v in layer.trainable_weights if np.array_equal(before[v.name], v.numpy())]
    frozen = hub.KerasLayer(path)
    mlm = hub.KerasLayer(hub.load(path).mlm, trainable=True)
    mlm_x = {key: tf_keras.Input([None], dtype=tf.int32, name=key) for key in mlm_inputs()}
    mlm_model = tf_keras.Model(mlm_x, mlm(mlm_x)["mlm_logits"])
    return {
        "loss": history,
        "weights": len(layer.trainable_weights),
        "unmoved": unmoved,
        "frozen_weights": [len(frozen.trainable_weights), len(frozen.non_trainable_weights)],
        "mlm_shape": list(mlm_model(mlm_inputs()).shape),
        "mlm_weights": len(mlm.trainable_weights),
    }


def keras_3(path):
    import keras

    layer = keras.layers.TFSMLayer(path, call_endpoint="__call__")  # Keras' own
    x = {key: keras.Input([None], dtype="int32", name=key) for key in inputs()}
    model = keras.Model(x, layer(x)["pooled_output"])
    outputs = {"pooled_output": model(inputs())}
    return difference(outputs["pooled_output"], tf.saved_model.load(path)(inputs())["default"])


class Wrapper(tf.Module):
    """Another model that contains an encoder."""

    def __init__(self, path):
        super().__init__()
        self.encoder = tf.saved_model.load(path)
        self.scale = tf.Variable(2.0)

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def __call__(self, ids):
        zeros = tf.zeros_like(ids)
        x = {"input_word_ids": ids, "input_mask": zeros + 1, "input_type_ids": zeros}
        return self.scale * self.encoder(x)["pooled_output"]


def flat(outputs):
    """Every output by a name of its own."""
    layers = {f"encoder_outputs[{i}]": x for i, x in enumerate(outputs["encoder_outputs"])}
    return {**{k: v for k, v in outputs.items() if k != "encoder_outputs"}, **layers}


def head(root, name, x, file):
    """A head by itself; its outputs go into a file."""
    call, signature = getattr(root, name), root.signatures[name]
    outputs = flat(call(x))
    np.savez(file, **{key: value.numpy() for key, value in outputs.items()})
    served = signature(**x)
    trained = [call(x, training=True) for _ in range(2)]
    variables = list(call.trainable_variables)
    result = {
        "own_outputs": sorted(served),
        "signature_same": max(difference(served[key], outputs[key]) for key in served),
        "signature_inputs": {
            key: spec.shape.as_list()
            for key, spec in signature.structured_input_signature[1].items()
        },
        "other_sizes": [
            {key: list(value.shape) for key, value in call(smaller).items() if key in served}
            for smaller in ({key: tf.minimum(value[:1, ..., :3], 2) for key, value in x.items()},)
        ],
        "int64": [
            max(difference(value, outputs[key]) for key, value in flat(call(y)).items())
            for y in (wide(x), {key: value.numpy().astype(np.int64) for key, value in x.items()})
        ],
        "dropout_differs": all(difference(trained[0][k], trained[1][k]) > 0 for k in served),
        "inference_repeats": max(
            difference(call(x, training=False)[k], outputs[k]) for k in served
        ),
        "labels": [v.decode() for v in call.labels.numpy()] if hasattr(call, "labels") else None,
        "own_variables": sorted({v.name for v in variables} - {v.name for v in root.variables}),
        "holds_encoder": {v.name for v in root.variables} <= {v.name for v in variables},
    }
    with tf.GradientTape() as tape:
        own = call(wide(x), training=True)
        loss = tf.add_n([tf.reduce_mean(tf.square(own[key] - 0.3)) for key in served])
    gradients = tape.gradient(loss, variables)
    result["missing_gradients"] = [
        v.name for v, g in zip(variables, gradients, strict=True) if g is None
    ]
    dense = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    assert all(bool(tf.reduce_all(tf.math.is_finite(g))) for g in dense)
    return result


def keras_head(path, name, x, output):
    """Fine-tuned as a layer of a model in tf_keras' functional API."""
    import tensorflow_hub as hub
    import tf_keras

    layer = hub.KerasLayer(getattr(hub.load(path), name), trainable=True)
    tensors = {
        key: tf_keras.Input([None] * (value.shape.rank - 1), dtype=tf.int32, name=key)
        for key, value in x.items()
    }
    model = tf_keras.Model(tensors, layer(tensors)[output])
    before = {v.name: v.numpy() for v in layer.trainable_weights}
    loss = tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(tf_keras.optimizers.Adam(1e-2), loss)
    rows = len(next(iter(x.values())))
    history = model.fit(x, np.arange(rows) % 2, epochs=12, verbose=0).history["loss"]
    return {
        "loss": history,
        "unmoved": [
            v.name for v in layer.trainable_weights if np.array_equal(before[v.name], v.numpy())
        ],
        "weights": len(layer.trainable_weights),
    }


def heads(work):
    """For each artifact of heads.json: {"name": ..., "head": ..., "keras": an output, or null}."""
    result = {}
    for case in json.loads((work / "heads.json").read_text()):
        path, directory = str(work / case["name"]), work / case["name"]
        with np.load(directory.with_suffix(".inputs.npz")) as file:
            x = {key: tf.constant(file[key]) for key in file.files}
        root = tf.saved_model.load(path)
        seen = head(root, case["head"], x, directory.with_suffix(".outputs.npz"))
        if case["keras"]:
            seen["keras"] = keras_head(path, case["head"], x, case["keras"])
        result[case["name"]] = seen
    return result


def main(step, work):
    if step == "heads":
        return heads(work)
    path, ids = str(work / "encoder"), [[2, 9, 8, 3]]
    if step == "second":
        wrapped = tf.saved_model.load(str(work / "wrapped"))
        again = tf.saved_model.load(str(work / "again"))
        return {
            "wrapped": wrapped(tf.constant(ids)).numpy().tolist(),
            "again": again(inputs())["pooled_output"].numpy().tolist(),
            "again_mlm": list(again.mlm(mlm_inputs())["mlm_logits"].shape),
        }
    if step == "more":
        cpu = tf.config.list_physical_devices("CPU")[0]
        two = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, two)
        return {
            "mirrored": mirrored(path),
            "keras_3": keras_3(path),
            "persistent": persistent(path),
        }
    result = {
        "plain": plain_tensorflow(path),
        "gradients": gradients(path),
        "int64_inputs": int64_inputs(path),
        "compiled": compiled(path),
        "keras": keras(path),
    }
    wrapper = Wrapper(path)
    tf.saved_model.save(wrapper, str(work / "wrapped"))
    original = tf.saved_model.load(path)
    tf.saved_model.save(original, str(work / "again"))
    result["wrapped"] = wrapper(tf.constant(ids)).numpy().tolist()
    result["again"] = original(inputs())["pooled_output"].numpy().tolist()
    shutil.rmtree(path)
    return result


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
