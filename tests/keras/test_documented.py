"""docs/keras.md: its programs run, and the form to copy is a layer that trains."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests import forks, tiny
from tests.artifacts import export_encoder, export_preprocessor

ROOT = Path(__file__).parents[2]
PROGRAMS = re.findall(
    r"```python\n(.*?)```", (ROOT / "docs/keras.md").read_text("utf-8"), re.DOTALL
)

USE = """
import sys
import numpy as np

def model_of(encoder):
    names = ("input_word_ids", "input_mask", "input_type_ids")
    inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
    return keras.Model(inputs, encoder(inputs)["nsp_logits"])

layer = HubLayer("out/encoder", part="nsp")
model = model_of(layer)
ids = np.arange(5, 37, dtype="int32").reshape(8, 4)
x = {"input_word_ids": ids, "input_mask": ids * 0 + 1, "input_type_ids": ids * 0}
expected = tf.saved_model.load("out/encoder").nsp(x)["nsp_logits"]
np.testing.assert_allclose(model.predict(x, verbose=0), expected, atol=1e-6)
model.compile(
    keras.optimizers.Adam(1e-2), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
)
before = [weight.numpy() for weight in layer.trainable_weights]
losses = model.fit(x, np.arange(8) % 2, epochs=8, verbose=0).history["loss"]
assert losses[-1] < losses[0], losses
moved = [not np.array_equal(b, w) for b, w in zip(before, layer.trainable_weights, strict=True)]
assert len(moved) == WEIGHTS and all(moved)
expected = model.predict(x, verbose=0)
model.save("model.keras")
again = keras.models.load_model("model.keras")
np.testing.assert_allclose(again.predict(x, verbose=0), expected, atol=1e-6)
frozen = HubLayer("out/encoder", part="nsp", trainable=False)
assert frozen.trainable_weights == []
drop = [np.asarray(each(x, training=True)["nsp_logits"]) for each in (layer, layer, frozen, frozen)]
assert np.abs(drop[0] - drop[1]).max() > 0 == np.abs(drop[2] - drop[3]).max()
assert "hubexport" not in sys.modules
"""


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with `out/encoder` and `out/preprocessor`."""
    directory = tmp_path_factory.mktemp("work")
    checkpoint = tiny.write_checkpoint(
        directory / "checkpoint",
        {**tiny.CONFIG, "num_hidden_layers": 1, "max_position_embeddings": 128},
    )
    export_encoder(checkpoint=checkpoint, export_path=directory / "out/encoder")
    export_preprocessor(
        vocab_file=tiny.write_vocabulary(directory / "vocab.txt"), do_lower_case=True,
        export_path=directory / "out/preprocessor",
    )  # fmt: skip
    return directory


def test_programs_run(work: Path) -> None:
    pytest.importorskip("tensorflow_text")
    *programs, _ = PROGRAMS
    assert len(programs) == 3
    done = forks.run("\n".join(programs), directory=work, preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr[-4000:]


def test_the_form_to_copy(work: Path) -> None:
    lines = [line for line in PROGRAMS[-1].splitlines() if line]
    assert len(lines) <= 30
    config = {**tiny.CONFIG, "num_hidden_layers": 1}
    number = len(tiny.tensor_shapes(config, heads=False)) + 2
    code = PROGRAMS[-1] + USE.replace("WEIGHTS", str(number))
    done = forks.run(code, directory=work, preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr[-4000:]
