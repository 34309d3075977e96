"""Export of a model directory's preprocessor, self-test included, beside that of its encoder.

    .venvs/test/bin/python benchmarks/preprocessor_export.py all-MiniLM-L6-v2

Bar: at most 1.5 times the encoder's wall time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from export import hubexport, verdict
from processes import Run, alternate, machine, median, ratios, run

HERE = Path(__file__).parent
BAR = 1.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path, help="directory of Hugging Face's, of a BERT")
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (default 5)")
    parser.add_argument("--output", type=Path, default=HERE / "preprocessor_export.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        lines = measure(arguments.model, Path(directory), arguments.runs)
    text = "\n".join(lines) + "\n"
    arguments.output.write_text(text)
    print(text)


def measure(model: Path, work: Path, runs: int) -> list[str]:
    def export(command: str, flag: str) -> Run:
        target = f"--export_path={work / command}"
        return run([*hubexport(command), f"--{flag}={model}", target, "--overwrite"])

    results = alternate(
        {
            "encoder": lambda: export("encoder", "checkpoint"),
            "preprocessor": lambda: export("preprocessor", "tokenizer"),
        },
        runs,
    )
    low, middle, high = ratios(results["preprocessor"], results["encoder"], "wall")
    return [
        "# Export of a preprocessor, beside that of its encoder",
        "",
        f"{model.name}; {machine()}; TensorFlow {version('tensorflow')}; median of {runs} whole "
        "processes, in turn.",
        "",
        "| | wall | CPU | peak memory |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| {name} | {median(r, 'wall'):.1f} s | {median(r, 'cpu'):.1f} s "
            f"| {median(r, 'peak'):,.0f} MiB |"
            for name, r in results.items()
        ),
        "",
        f"- wall time over the encoder's, pair by pair: {middle:.2f} ({low:.2f} to {high:.2f}); "
        f"bar {BAR}: {verdict(middle <= BAR)}",
    ]


if __name__ == "__main__":
    main()
