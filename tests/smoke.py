"""Every command once, on a tiny model, through the installed program: `make smoke`.

    python tests/smoke.py

Not collected by pytest: the test suite runs on one version of TensorFlow, this on any supported
one. The last line is `N passed, M failed`; the exit status is 0 where nothing failed.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PROGRAM = Path(sys.executable).with_name("hubexport")
PACKAGES = ("hubexport", "tensorflow", "tensorflow-text", "tensorflow-hub", "tf-keras", "numpy")
TEXTS = ["cab fade", "a", ""]
LENGTH = 12

Check = tuple[str, Callable[[], None]]

# Arguments, and what must stand in the output. Run in this order, in one directory.
COMMANDS: tuple[tuple[str, str], ...] = (
    ("--version", "hubexport "),
    ("inspect checkpoint/bert_model.ckpt", "bert/embeddings/word_embeddings"),
    ("inspect checkpoint/bert_model.ckpt --json --filter=LayerNorm", '"num_tensors"'),
    (
        "encoder --checkpoint=checkpoint/bert_model.ckpt --export_path=absent --dry_run",
        "nothing written",
    ),
    (
        "encoder --checkpoint=checkpoint/bert_model.ckpt --bert_config=checkpoint/bert_config.json "
        "--vocab_file=vocab.txt --do_lower_case --export_path=encoder",
        "L=2 H=16 A=2",
    ),
    (
        "preprocessor --vocab_file=vocab.txt --do_lower_case --tokenize_with_offsets "
        f"--default_seq_length={LENGTH} --export_path=preprocessor",
        "50 pieces",
    ),
    ("inspect encoder", "mlm_logits"),
    (
        "run --saved_model=encoder --preprocessor=preprocessor --input=texts.txt "
        "--output=vectors.npy",
        "default [16]",
    ),
    ("inspect preprocessor", "tensorflow_text"),
    (
        "pipeline --encoder=encoder --preprocessor=preprocessor --task=fill-mask --top_k=2 "
        "--export_path=pipeline",
        "fill-mask",
    ),
    ("run --saved_model=pipeline --input=texts.txt --output=masks.jsonl", "num_masks []"),
    ("publish --saved_model=pipeline --handle=smoke/fill/next --to=hub", "published"),
    ("publish --saved_model=pipeline --handle=smoke/fill/1 --to=hub", "already published"),
    ("pull smoke/fill --hub=hub --output=pulled", "as in the manifest"),
    ("diff pipeline pulled", "identical"),
    ("verify smoke/fill/1 --hub=hub", "all as it should be"),
    ("hub check hub", "1 versions, 0 problems"),
)


def main() -> int:
    if sys.argv[1:2] == ["--reload"]:
        passed, failed = run(reload_checks(Path(sys.argv[2])))
        print(json.dumps({"passed": passed, "failed": failed}))
        return 0
    if not PROGRAM.is_file():
        sys.exit(f"There is no {PROGRAM}.\nTo go on: {sys.executable} -m pip install .")
    with tempfile.TemporaryDirectory(prefix="hubexport-smoke-") as directory:
        work = Path(directory)
        make_inputs(work)
        passed, failed = run(command_checks(work))
        # A process of its own, which has exported nothing and does not import hubexport.
        child = subprocess.run(
            [sys.executable, __file__, "--reload", directory], stdout=subprocess.PIPE, text=True
        )
    *lines, last = child.stdout.splitlines() or [""]
    if child.returncode:
        print(f"FAILED  the process that loads the artifacts ended with {child.returncode}")
        failed += 1
    else:
        print("\n".join(lines))
        passed, failed = passed + json.loads(last)["passed"], failed + json.loads(last)["failed"]
    versions = [f"{package} {importlib.metadata.version(package)}" for package in PACKAGES]
    print(", ".join([f"Python {platform.python_version()}", *versions]))
    print(f"{passed} passed, {failed} failed")
    return int(failed > 0)


def run(checks: Sequence[Check]) -> tuple[int, int]:
    """Runs the checks and reports each; how many passed, how many failed."""
    failed = 0
    for name, check in checks:
        try:
            check()
            print(f"ok      {name}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {name}\n{traceback.format_exc()}", flush=True)
    return len(checks) - failed, failed


def make_inputs(work: Path) -> None:
    """A checkpoint with google-research/bert's names, its configuration, and a vocabulary."""
    import tiny  # beside this file

    tiny.write_checkpoint(work / "checkpoint")
    tiny.write_vocabulary(work / "vocab.txt")
    (work / "texts.txt").write_text("\n".join(TEXTS), "utf-8")


def command_checks(work: Path) -> list[Check]:
    """The program's commands, and that they wrote what they were asked to write."""

    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}

    def hubexport(arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [PROGRAM, *arguments.split()],
            cwd=work, env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def succeeds(arguments: str, expected: str) -> Callable[[], None]:
        def check() -> None:
            done = hubexport(arguments)
            assert done.returncode == 0, done.stdout + done.stderr
            assert expected in done.stdout, f"no {expected!r} in:\n{done.stdout}"
            others = [x for x in done.stderr.splitlines() if not x.startswith("hubexport: ")]
            assert not others, f"TensorFlow's notes are printed:\n{done.stderr}"

        return check

    def refuses_to_replace() -> None:
        done = hubexport(
            "preprocessor --vocab_file=vocab.txt --do_lower_case --export_path=encoder"
        )
        assert done.returncode == 1, done
        assert "not empty" in done.stderr and "hint:" in done.stderr, done.stderr

    def wrote_what_was_asked_for() -> None:
        found = {path.name for path in work.iterdir()} - {"checkpoint", "texts.txt", "vocab.txt"}
        expected = {
            "encoder",
            "preprocessor",
            "pipeline",
            "vectors.npy",
            "masks.jsonl",
            "hub",
            "pulled",
        }
        assert found == expected, found

    return [
        *((f"hubexport {line}", succeeds(line, expected)) for line, expected in COMMANDS),
        ("an export path that is not empty is refused", refuses_to_replace),
        ("what was asked for was written, and nothing else", wrote_what_was_asked_for),
    ]


def reload_checks(work: Path) -> list[Check]:
    """What a user's program does with the artifacts."""
    import numpy as np
    import tensorflow as tf
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401  registers the preprocessor's ops

    texts, batch = tf.constant(TEXTS), len(TEXTS)
    loaded: dict[str, Any] = {}

    def check_shape(tensor: tf.Tensor, *shape: int) -> None:
        assert tensor.shape == shape, f"{tensor.shape}, expected {shape}"
        assert np.isfinite(tensor.numpy()).all(), "values that are not finite"

    def load() -> None:
        for name in ("encoder", "preprocessor", "pipeline"):
            loaded[name] = tf.saved_model.load(str(work / name))
        assert "hubexport" not in sys.modules

    def preprocess() -> None:
        inputs = loaded["inputs"] = loaded["preprocessor"](texts)
        assert sorted(inputs) == ["input_mask", "input_type_ids", "input_word_ids"], inputs
        for tensor in inputs.values():
            check_shape(tensor, batch, LENGTH)
        # [CLS] c ##a ##b f ##a ##d ##e [SEP], [CLS] a [SEP], [CLS] [SEP]
        assert inputs["input_mask"].numpy().sum(axis=1).tolist() == [9, 3, 2], inputs

    def encode() -> None:
        outputs = loaded["outputs"] = loaded["encoder"](loaded["inputs"])
        check_shape(outputs["sequence_output"], batch, LENGTH, 16)
        check_shape(outputs["pooled_output"], batch, 16)
        check_shape(outputs["default"], batch, 16)
        assert len(outputs["encoder_outputs"]) == 2

    def heads() -> None:
        inputs = {**loaded["inputs"], "masked_lm_positions": tf.ones([batch, 3], tf.int32)}
        check_shape(loaded["encoder"].mlm(inputs)["mlm_logits"], batch, 3, 50)
        check_shape(loaded["encoder"].nsp(loaded["inputs"])["nsp_logits"], batch, 2)

    def answers() -> None:
        found = loaded["pipeline"](tf.constant(["a [MASK] cab", "a", "[MASK][MASK]"]))
        assert found["num_masks"].numpy().tolist() == [1, 0, 2], found
        check_shape(found["scores"], batch, 2, 2)
        assert found["tokens"].shape == (batch, 2, 2) and found["tokens"][0, 0, 0].numpy()

    def served() -> None:
        os.environ["TFHUB_CACHE_DIR"] = str(work / "cache")
        command = [PROGRAM, "serve", f"--root={work / 'hub'}", "--port=0"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            address = server.stdout.readline().split()[1].rstrip("/")
            found = hub.load(f"{address}/smoke/fill")(texts)
        finally:
            server.terminate()
        assert server.wait(60) == 0
        same(found["scores"], loaded["pipeline"](texts)["scores"])

    def signatures() -> None:
        served = loaded["encoder"].signatures["serving_default"](**loaded["inputs"])
        same(served["sequence_output"], loaded["outputs"]["sequence_output"])
        ids = loaded["preprocessor"].signatures["serving_default"](text=texts)
        same(ids["input_word_ids"], loaded["inputs"]["input_word_ids"])

    def same(one: tf.Tensor, other: tf.Tensor) -> None:
        np.testing.assert_allclose(one.numpy(), other.numpy(), atol=1e-5)

    def keras_layers() -> None:
        preprocessor = hub.KerasLayer(str(work / "preprocessor"))
        encoder = hub.KerasLayer(str(work / "encoder"), trainable=True)
        outputs = encoder(preprocessor(texts))
        same(outputs["pooled_output"], loaded["outputs"]["pooled_output"])
        assert encoder.trainable_variables and not preprocessor.variables

    def keras_3_trains() -> None:
        import keras

        from hubexport.keras import HubLayer

        layer = HubLayer(work / "encoder")
        names = ("input_word_ids", "input_mask", "input_type_ids")
        inputs = {name: keras.Input((None,), dtype="int32", name=name) for name in names}
        model = keras.Model(inputs, layer(inputs)["pooled_output"])
        same(model(loaded["inputs"]), loaded["outputs"]["pooled_output"])
        before = [weight.numpy() for weight in layer.trainable_weights]
        model.compile("adam", "mse")
        x = {name: loaded["inputs"][name].numpy() for name in names}
        model.fit(x, np.zeros([batch, 16]), verbose=0)
        moved = [not np.array_equal(b, w) for b, w in zip(before, layer.weights, strict=True)]
        assert moved and all(moved), moved

    def map_dataset() -> None:
        batches = tf.data.Dataset.from_tensor_slices(texts).batch(2).map(loaded["preprocessor"])
        rows = tf.concat([each["input_word_ids"] for each in batches], axis=0)
        same(rows, loaded["inputs"]["input_word_ids"])

    return [
        ("all load with tf.saved_model.load", load),
        ("text -> preprocessor", preprocess),
        ("preprocessor -> encoder", encode),
        ("encoder.mlm and encoder.nsp", heads),
        ("a pipeline fills masks", answers),
        ("hub.load has it from a server", served),
        ("signatures give the same", signatures),
        ("hub.KerasLayer gives the same", keras_layers),
        ("HubLayer gives the same, and is trained", keras_3_trains),
        ("Dataset.map(preprocessor) gives the same", map_dataset),
    ]


if __name__ == "__main__":
    sys.exit(main())
