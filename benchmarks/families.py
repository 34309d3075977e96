"""Exported encoders of transformers' families against transformers itself, interleaved.

    python benchmarks/families.py                          RoBERTa-base and DistilBERT
    python benchmarks/families.py --models=DistilBERT --turns=3
    python benchmarks/families.py --exports                time and memory of exports alone, with
                                                           RoBERTa-large

Random weights of the true sizes, saved by transformers. Contenders are processes, one of which
computes at a time: ours, the same network on PyTorch, eager and compiled with frozen weights, and
the network's matrix products alone on TensorFlow, which is as fast as ours could be; and of GPT-2,
where it is installed (`pip install keras-hub`), keras-hub's.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from interleaving import Contender, Task, in_turn, ratio
from models import OURS
from processes import Run, alternate, machine, median, run

from hubexport import load_record

HERE = Path(__file__).parent
PRODUCTS = "products"
KERAS_HUB = "keras_hub"
_ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1,
            "layer_norm_eps": 1e-5}  # fmt: skip
MODELS: Mapping[str, tuple[str, Mapping[str, float]]] = {
    "RoBERTa-base": ("RobertaForMaskedLM", _ROBERTA),
    "DistilBERT": ("DistilBertForMaskedLM", {}),
    "GPT": ("OpenAIGPTLMHeadModel", {}),
    "GPT-2": ("GPT2LMHeadModel", {}),
    "GPT-2 large": ("GPT2LMHeadModel", {"n_embd": 1280, "n_layer": 36, "n_head": 20}),
    "GPT-2 XL": ("GPT2LMHeadModel", {"n_embd": 1600, "n_layer": 48, "n_head": 25}),
    "XLNet-base": (
        "XLNetLMHeadModel", {"d_model": 768, "n_layer": 12, "n_head": 12, "d_inner": 3072},
    ),
    "XLM 6 x 1024": (
        "XLMWithLMHeadModel",
        {"n_words": 64139, "n_langs": 2, "emb_dim": 1024, "n_layers": 6, "n_heads": 8},
    ),
    "XLM 12 x 2048": (
        "XLMWithLMHeadModel",
        {"n_words": 30145, "n_langs": 1, "emb_dim": 2048, "n_layers": 12, "n_heads": 16},
    ),
    "RoBERTa-large": ("RobertaForMaskedLM", {
        **_ROBERTA, "hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16,
        "intermediate_size": 4096,
    }),
}  # fmt: skip
"""Name -> transformers' class, and its sizes where they are not the defaults."""
SHAPES = ((1, 128), (8, 128), (32, 128), (8, 512))
_SAVE = """
import sys, json, torch, transformers
torch.manual_seed(0)
made_by, sizes, out = getattr(transformers, sys.argv[1]), json.loads(sys.argv[2]), sys.argv[3]
made_by(made_by.config_class(**sizes)).save_pretrained(out)
"""
_IMPORT = "from hubexport.lean_tensorflow import lean_tensorflow\nwith lean_tensorflow():\n"
_IMPORT += "    import tensorflow"


def checkpoint(name: str, directory: Path) -> Path:
    """A model of random weights as transformers saves it."""
    made_by, sizes = MODELS[name]
    out = directory / f"{name}-checkpoint"
    run([sys.executable, "-c", _SAVE, made_by, json.dumps(sizes), str(out)])
    return out


def export(source: Path, out: Path) -> Callable[[], Run]:
    """Runs our export, heads included."""
    command = [sys.executable, "-m", "hubexport", "encoder", f"--checkpoint={source}"]

    def made() -> Run:
        shutil.rmtree(out, ignore_errors=True)
        return run([*command, f"--export_path={out}"])

    return made


def exports(names: list[str], turns: int) -> list[str]:
    """Rows of Markdown: what exports take, beside importing TensorFlow as they do."""
    rows = ["| model | seconds | MiB | above importing TensorFlow |", "| --- | --- | --- | --- |"]
    for name in names:
        with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
            source = checkpoint(name, Path(directory))
            found = alternate(
                {
                    "import": lambda: run([sys.executable, "-c", _IMPORT]),
                    name: export(source, Path(directory, OURS)),
                },
                turns,
            )
        wall, peak = median(found[name], "wall"), median(found[name], "peak")
        above = peak - median(found["import"], "peak")
        rows.append(f"| {name} | {wall:.1f} | {peak:,.0f} | {above:,.0f} MiB |")
    return rows


def sizes(artifact: Path) -> Path:
    """A file of the network's sizes, beside its artifact."""
    file = artifact.with_name("products.json")
    file.write_text(json.dumps(load_record(artifact)["architecture"]))
    return file


def speeds(name: str, turns: int, seconds: float) -> list[str]:
    """Rows of Markdown: a task each, and how many times as fast we are."""
    rows = []
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        source, out = checkpoint(name, Path(directory)), Path(directory, OURS)
        export(source, out)()
        commands = {
            OURS: ["saved_model", str(out)],
            "eager": ["transformers", str(source)],
            "compiled": ["transformers", str(source), "compile=1"],
            PRODUCTS: ["products", str(sizes(out))],
        }
        peers = ["eager", "compiled", PRODUCTS]
        if MODELS[name][0].startswith("GPT2") and importlib.util.find_spec("keras_hub"):
            commands[KERAS_HUB] = ["keras_hub", str(sizes(out))]
            peers.append(KERAS_HUB)
        contenders = {}
        try:
            contenders |= {each: Contender(command) for each, command in commands.items()}
            for shape in SHAPES:
                found = in_turn(contenders, Task("encoder", *shape), turns, seconds)
                cells = [name, f"{shape[0]} x {shape[1]}", f"{found[OURS].median * 1e3:,.1f} ms"]
                for other in peers:
                    low, middle, high = ratio(found[OURS], found[other])
                    cells.append(f"{middle:.2f} ({low:.2f} to {high:.2f})")
                cells += ["-"] * (KERAS_HUB not in peers)
                rows.append(f"| {' | '.join(cells)} |")
                print(rows[-1], flush=True)
            loads = [each.facts["load"] for each in contenders.values()]
            print(f"  loading: {statistics.fmean(loads):.1f} s on average", flush=True)
        finally:
            for contender in contenders.values():
                contender.close()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", default="RoBERTa-base,DistilBERT", help=", ".join(MODELS))
    parser.add_argument("--turns", type=int, default=5, help="counted turns of a task (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="of a turn (default 1)")
    parser.add_argument("--exports", action="store_true", help="measure exports, not calls")
    parser.add_argument("--output", type=Path, help="a Markdown file to write")
    arguments = parser.parse_args()
    names = arguments.models.split(",")
    if unknown := set(names) - set(MODELS):
        parser.error(f"no such model: {', '.join(sorted(unknown))}")
    if arguments.exports:
        rows = exports(names, arguments.turns)
    else:
        rows = [
            "| model | tokens | hubexport | times as fast as eager | as compiled | as products "
            "| as keras-hub |",
            "| --- | --- | --- | --- | --- | --- | --- |",
        ]
        for name in names:
            rows += speeds(name, arguments.turns, arguments.seconds)
    text = "\n".join([f"{machine()}, transformers on PyTorch.", "", *rows]) + "\n"
    print(text)
    if arguments.output:
        arguments.output.write_text(text)


if __name__ == "__main__":
    main()
