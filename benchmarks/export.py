"""Export of BERT-base with `.mlm` from a Model Garden checkpoint, side by side with the peer.

Bars: of the whole process, wall time at most 0.35 of the peer's and peak memory at most 0.40; at
most 250 MiB more than TensorFlow's import takes alone, as exporting processes do it, also for a
checkpoint of 4.8 GB (--large).
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from processes import Run, alternate, machine, median, ratios, run

HERE = Path(__file__).parent
_FLOOR = "lean import of TensorFlow"
_IMPORT = """
from hubexport.lean_tensorflow import lean_tensorflow
with lean_tensorflow():
    import tensorflow
"""
LARGE = {"hidden_size": 2048, "num_hidden_layers": 24, "intermediate_size": 8192}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=3, help="counted runs of each (default 3)")
    parser.add_argument("--large", action="store_true", help="a 4.8 GB checkpoint too")
    parser.add_argument("--output", type=Path, default=HERE / "export.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        lines = measure(Path(directory), arguments.runs, large=arguments.large)
    text = "\n".join(lines) + "\n"
    arguments.output.write_text(text)
    print(text)


def measure(work: Path, runs: int, *, large: bool) -> list[str]:
    garden = [sys.executable, str(HERE / "model_garden.py")]
    print("making the checkpoint", flush=True)
    run([*garden, "checkpoint", str(work / "base")])
    ours_command = [
        *hubexport("encoder"),
        f"--encoder_config={work / 'base' / 'encoder.yaml'}",
        f"--checkpoint={work / 'base' / 'ckpt-1'}",
        f"--vocab_file={work / 'base' / 'vocab.txt'}",
        "--do_lower_case",
    ]

    def ours() -> Run:
        shutil.rmtree(work / "ours", ignore_errors=True)
        return run([*ours_command, f"--export_path={work / 'ours'}"])

    def peer() -> Run:
        shutil.rmtree(work / "peer", ignore_errors=True)
        return run([*garden, "export", str(work / "base"), str(work / "peer")])

    def floor() -> Run:
        return run(
            [sys.executable, "-c", _IMPORT],
            {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
        )

    results = alternate({"hubexport": ours, "peer": peer, _FLOOR: floor}, runs)
    floor_peak = median(results[_FLOOR], "peak")
    above = median(results["hubexport"], "peak") - floor_peak
    lines = [
        "# Export of BERT-base with its masked language model",
        "",
        f"{machine()}; TensorFlow {version('tensorflow')}, tf-models-official "
        f"{version('tf-models-official')}; median of {runs} whole processes, in turn.",
        "",
        "| | wall | CPU | peak memory |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {name} | {median(r, 'wall'):.1f} s | {median(r, 'cpu'):.1f} s "
        f"| {median(r, 'peak'):,.0f} MiB |"
        for name, r in results.items()
    ]
    lines.append("")
    for label, figure, bar in (("wall time", "wall", 0.35), ("peak memory", "peak", 0.40)):
        low, middle, high = ratios(results["hubexport"], results["peer"], figure)
        lines.append(
            f"- {label} over the peer's, pair by pair: {middle:.2f} ({low:.2f} to {high:.2f}); "
            f"bar {bar:.2f}: {verdict(middle <= bar)}"
        )
    lines += [
        f"- peak memory above that of the {_FLOOR}: {above:,.0f} MiB; "
        f"bar 250 MiB: {verdict(above <= 250)}",
    ]
    if large:
        lines += measure_large(work, floor_peak)
    return lines


def measure_large(work: Path, floor_peak: float) -> list[str]:
    print("making the large checkpoint", flush=True)
    nbytes = write_large(work / "large")
    # The same job as above, and as the peer's: the masked language model is the only head.
    source = work / "large" / "bert_model.ckpt"
    arguments = [f"--checkpoint={source}", "--heads=mlm", f"--export_path={work / 'large_out'}"]
    result = run([*hubexport("encoder"), *arguments])
    print(f"  large: {result}", flush=True)
    above = result.peak - floor_peak
    return [
        f"- a checkpoint of {nbytes / 1e9:.1f} GB (24 layers of 2048): {result.wall:.1f} s, "
        f"{above:,.0f} MiB above it; bar 250 MiB: {verdict(above <= 250)}",
    ]


def write_large(directory: Path) -> int:
    """A google-research/bert checkpoint of zeros with a few ones, tensor after tensor."""
    sys.path.insert(0, str(HERE.parent))
    from hubexport.tf_formats.bundle import BundleWriter
    from tests import tiny

    config = {**tiny.CONFIG, **LARGE, "vocab_size": 30522, "max_position_embeddings": 512}
    config["num_attention_heads"] = 32
    directory.mkdir()
    (directory / "bert_config.json").write_text(json.dumps(config))
    nbytes = 0
    with BundleWriter(directory / "bert_model.ckpt") as writer:
        for name, shape in sorted(tiny.tensor_shapes(config).items()):
            value = np.full(shape, 0.5, np.float32)
            writer.add(name, "float32", shape, [value.tobytes()])
            nbytes += value.nbytes
    return nbytes


def hubexport(command: str) -> list[str]:
    return [sys.executable, "-m", "hubexport", command]


def verdict(met: bool) -> str:
    return "met" if met else "NOT met"


if __name__ == "__main__":
    main()
