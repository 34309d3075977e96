"""The models of the benchmarks: one checkpoint each, exported by us and by the peer."""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

from processes import run

HERE = Path(__file__).parent
VOCAB_SIZE = 30522


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


def make(model: Model, directory: Path) -> dict[str, list[str]]:
    """Makes a model's files; name of a contender -> the arguments of its process."""
    directory.mkdir(parents=True, exist_ok=True)
    sizes = directory / "sizes.json"
    sizes.write_text(json.dumps(model.config()))
    products = {
        **model.config(), "num_hidden_layers": model.layers, "talking_heads": model.talking_heads
    }  # fmt: skip
    (directory / "products.json").write_text(json.dumps(products))
    source, peer = directory / "checkpoint", directory / "peer"
    garden = [sys.executable, str(HERE / "model_garden.py")]
    if model.talking_heads:
        run([*garden, "talking_heads", str(source), str(peer)])
    else:
        run([*garden, "checkpoint", str(source), str(sizes)])
        run([*garden, "export", str(source), str(peer), str(sizes)])
    contenders = {"peer": ["saved_model", str(peer)]}
    for dtype in ("float32", "bfloat16"):
        ours = directory / dtype
        run([
            sys.executable, "-m", "hubexport", "encoder",
            f"--encoder_config={source / 'encoder.yaml'}", f"--checkpoint={source / 'ckpt-1'}",
            f"--vocab_file={source / 'vocab.txt'}", "--do_lower_case", f"--dtype={dtype}",
            f"--export_path={ours}",
        ])  # fmt: skip
        contenders["hubexport" if dtype == "float32" else dtype] = ["saved_model", str(ours)]
    contenders["products"] = ["products", str(directory / "products.json")]
    if not model.talking_heads:
        hugging_face = directory / "hugging_face"
        run([sys.executable, "-c", _HUGGING_FACE, str(sizes), str(hugging_face)])
        contenders["transformers"] = ["transformers", str(hugging_face)]
        contenders["transformers compiled"] = ["transformers", str(hugging_face), "compile=1"]
        contenders["transformers bfloat16"] = [
            "transformers", str(hugging_face), "dtype=bfloat16", "compile=1"
        ]  # fmt: skip
    return contenders


_HUGGING_FACE = """
import json, sys
from transformers import BertConfig, BertModel
sizes = json.load(open(sys.argv[1]))
sizes["num_hidden_layers"] = sizes.pop("num_layers")
BertModel(BertConfig(**sizes, hidden_act="gelu_new")).save_pretrained(sys.argv[2])
"""
