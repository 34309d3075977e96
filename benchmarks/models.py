"""The models of the benchmarks: one checkpoint each, exported by us and by the peer."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from processes import Run, alternate, run

OURS = "hubexport"
VOCAB_SIZE = 30522
_GARDEN = [sys.executable, str(Path(__file__).with_name("model_garden.py"))]
_HUBEXPORT = [sys.executable, "-m", "hubexport"]


@dataclasses.dataclass(frozen=True)
class Model:
    """Sizes of a model; random weights, tanh GELU."""

    name: str
    layers: int
    hidden_size: int
    heads: int
    talking_heads: bool = False

    def config(self) -> dict[str, int]:
        """As Model Garden calls them."""
        return {
            "vocab_size": VOCAB_SIZE,
            "hidden_size": self.hidden_size,
            "num_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": 4 * self.hidden_size,
        }


MODELS = {
    model.name: model
    for model in (
        Model("L-4_H-256", 4, 256, 4),
        Model("BERT-base", 12, 768, 12),
        Model("BERT-large", 24, 1024, 16),
        Model("talking-heads-base", 12, 768, 12, talking_heads=True),
    )
}


NARROW = {
    "bfloat16": ["--dtype=bfloat16"],
    "bfloat16 stored": ["--dtype=bfloat16", "--variable_dtype=bfloat16"],
}
"""Contenders that are ours in a narrow dtype: what they are exported with."""

CONTENDERS = (
    "peer", OURS, *NARROW, "products", "transformers", "transformers compiled",
    "transformers bfloat16",
)  # fmt: skip

Commands = dict[str, list[str]]
"""Name of a contender -> the arguments of its process."""


def make(
    model: Model, directory: Path, turns: int, narrow: Mapping[str, Sequence[str]] = NARROW
) -> tuple[Commands, dict[str, Any]]:
    """Makes a model's files: the contenders' commands, and by name what exporting took, for JSON.

    The exports that are compared run `turns` times in turn, after one that is not counted.
    """
    directory.mkdir(parents=True, exist_ok=True)
    sizes = directory / "sizes.json"
    sizes.write_text(json.dumps(model.config()))
    source, peer = directory / "checkpoint", directory / "peer"
    exporters = {OURS: _exporter(_ours(source, directory / OURS), directory / OURS)}
    if model.talking_heads:  # Model Garden has no exporter for it
        run([*_GARDEN, "talking_heads", str(source), str(peer)])
    else:
        run([*_GARDEN, "checkpoint", str(source), str(sizes)])
        exporters["peer"] = _exporter(
            [*_GARDEN, "export", str(source), str(peer), str(sizes)], peer
        )
    runs = alternate(exporters, turns)
    for name, options in narrow.items():
        runs[name] = [run([*_ours(source, directory / name), *options])]
    exports = {
        name: {
            "runs": [dataclasses.asdict(each) for each in runs.get(name, [])],
            "size": (directory / name / "saved_model.pb").stat().st_size,
        }
        for name in ("peer", OURS, *narrow)
    }
    return _commands(model, directory, source / "vocab.txt"), exports


@contextlib.contextmanager
def export_for_programs(model: Model, dtype: str) -> Iterator[Path]:
    """An encoder without heads, for the time being."""
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        source, out = Path(directory, "checkpoint"), Path(directory, dtype)
        sizes = Path(directory, "sizes.json")
        sizes.write_text(json.dumps(model.config()))
        if model.talking_heads:
            run([*_GARDEN, "talking_heads", str(source), str(Path(directory, "peer"))])
        else:
            run([*_GARDEN, "checkpoint", str(source), str(sizes)])
        run([*_ours(source, out), f"--dtype={dtype}", f"--variable_dtype={dtype}", "--heads=none"])
        yield out


def _commands(model: Model, directory: Path, vocabulary: Path) -> Commands:
    """Makes what stands beside the encoders: preprocessors, sizes, the network in PyTorch."""
    preprocessor, peers = directory / "preprocessor", directory / "peer_preprocessor"
    run([
        *_HUBEXPORT, "preprocessor", f"--vocab_file={vocabulary}", "--do_lower_case",
        f"--export_path={preprocessor}",
    ])  # fmt: skip
    run([*_GARDEN, "preprocessing", str(vocabulary), str(peers)])
    texts = f"texts={vocabulary}"
    contenders = {
        name: ["saved_model", str(directory / name), f"preprocessor={made}", texts]
        for name, made in (("peer", peers), *((name, preprocessor) for name in (OURS, *NARROW)))
    }
    sizes = {
        **model.config(), "num_hidden_layers": model.layers, "talking_heads": model.talking_heads
    }  # fmt: skip
    (directory / "products.json").write_text(json.dumps(sizes))
    contenders["products"] = ["products", str(directory / "products.json")]
    if not model.talking_heads:
        network = str(directory / "hugging_face")
        run([sys.executable, "-c", _HUGGING_FACE, str(directory / "sizes.json"), network])
        eager = ["transformers", network]
        tokenizer = [f"vocabulary={vocabulary}", texts]
        contenders["transformers"] = [*eager, *tokenizer]
        contenders["transformers compiled"] = [*eager, "compile=1", *tokenizer]
        contenders["transformers bfloat16"] = [*eager, "dtype=bfloat16", "compile=1"]
    return contenders


def _ours(source: Path, out: Path) -> list[str]:
    return [
        *_HUBEXPORT, "encoder",
        f"--encoder_config={source / 'encoder.yaml'}", f"--checkpoint={source / 'ckpt-1'}",
        f"--vocab_file={source / 'vocab.txt'}", "--do_lower_case", f"--export_path={out}",
    ]  # fmt: skip


def _exporter(command: list[str], out: Path) -> Callable[[], Run]:
    def export() -> Run:
        shutil.rmtree(out, ignore_errors=True)
        return run(command)

    return export


_HUGGING_FACE = """
import json, sys
from transformers import BertConfig, BertModel
sizes = json.load(open(sys.argv[1]))
sizes["num_hidden_layers"] = sizes.pop("num_layers")
BertModel(BertConfig(**sizes, hidden_act="gelu_new")).save_pretrained(sys.argv[2])
"""
