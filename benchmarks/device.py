"""Exported encoders on a GPU (or any device of JAX and PyTorch), against PyTorch there.

python benchmarks/device.py prepare DIRECTORY            where TensorFlow is: programs, no weights
python benchmarks/device.py measure DIRECTORY            where JAX and PyTorch are

The very programs of the SavedModels, lowered to StableHLO, through PJRT; the same network in
transformers, eager with SDPA and through torch.compile; and the matrix products alone, the
device's own limit. In float32, in TF32 and in bfloat16, one after the other, in turn.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # hubexport itself, where it is not installed

SHAPES = ((1, 16), (1, 128), (8, 128), (32, 128), (32, 512))  # the first warms up
MODELS = ("BERT-base", "talking-heads-base")
# Name -> the artifact and XLA's precision, PyTorch's options.
FORMATS = {
    "float32": ("float32", "HIGHEST", ["dtype=float32"]),
    "TF32": ("float32", "DEFAULT", ["dtype=float32", "tf32=1"]),
    "bfloat16": ("bfloat16", "DEFAULT", ["dtype=bfloat16"]),
}


def prepare(directory: Path, names: list[str]) -> None:
    """Exports the models and lowers them."""
    from models import MODELS as ALL
    from models import export_for_programs
    from programs import lower

    for name in names:
        model, work = ALL[name], directory / name
        sizes = {**model.config(), "talking_heads": model.talking_heads}
        sizes["num_hidden_layers"] = sizes.pop("num_layers")
        for dtype in ("float32", "bfloat16"):
            print(f"{name}: {dtype}", flush=True)
            with export_for_programs(model, dtype) as artifact:
                lower(artifact, work / dtype, SHAPES, model.config()["vocab_size"])
        (work / "sizes.json").write_text(json.dumps(sizes))


def contenders(work: Path, name: str, device: str) -> dict[str, list[str]]:
    """Of one format: name -> the arguments of a process."""
    sizes = str(work / "sizes.json")
    artifact, precision, options = FORMATS[name]
    found = {
        f"hubexport {name}": [
            "stablehlo", str(work / artifact), f"device={device}", f"precision={precision}"
        ],
        f"products {name}": ["torch", sizes, f"device={device}", "what=products", *options],
    }  # fmt: skip
    if not json.loads(Path(sizes).read_text())["talking_heads"]:
        network = ["torch", sizes, f"device={device}", "what=network", *options]
        found[f"transformers {name}"] = network
        found[f"transformers compiled {name}"] = [*network, "compile=1"]
    return found


def measure(directory: Path, names: list[str], device: str, turns: int) -> list[str]:
    """A table for each model, in Markdown."""
    from interleaving import Contender, Task, in_turn, ratio
    from report import title, verdict

    lines = []
    for name in names:
        lines += [f"## {name}", "", "| task | contender | ms | over ours | |",
                  "|---|---|---:|---:|---|"]  # fmt: skip
        for format in FORMATS:
            commands = contenders(directory / name, format, device)
            running: Mapping[str, Contender] = {k: Contender(v) for k, v in commands.items()}
            ours = f"hubexport {format}"
            for shape in SHAPES[1:]:
                task = Task("encoder", *shape)
                found = in_turn(running, task, turns, 0.5)
                for each, timing in found.items():
                    low, middle, high = spread = ratio(found[ours], timing)
                    said = f"{middle:.2f} ({low:.2f} to {high:.2f}) | {verdict(spread)}"
                    line = f"| {title(task)} | {each} | {1000 * timing.median:,.2f} | "
                    lines.append(line + (said if each != ours else "|") + " |")
                    print(lines[-1], flush=True)
            for each in running.values():
                each.close()
        lines.append("")
    return lines


def hardware(device: str) -> str:
    import torch
    from processes import machine

    name = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    return f"{name}; {machine()}; torch {torch.__version__}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("prepare", "measure"))
    parser.add_argument("directory", type=Path)
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--device", default="cuda", help="as JAX and PyTorch call it")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--output", type=Path, help="a Markdown file; default: none")
    arguments = parser.parse_args()
    names = arguments.models.split(",")
    if arguments.step == "prepare":
        prepare(arguments.directory, names)
        return
    if arguments.device != "cpu":
        os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")
    # JAX would take most of the device's memory when it starts.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    lines = measure(arguments.directory, names, arguments.device, arguments.turns)
    text = "\n".join(["# Measured on a device", "", hardware(arguments.device), "", *lines])
    if arguments.output:
        arguments.output.write_text(text + "\n")


if __name__ == "__main__":
    main()
