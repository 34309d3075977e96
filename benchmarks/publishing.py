"""Publishing, downloading and verifying, side by side with the system's own tools.

Bars: `publish` to a directory at most 1.5 times as long as `cp -r` and `sha256sum`, in memory that
does not grow with the artifact (100 MB to 10 GB with --large); `hub.resolve` of a plain tar at most
half as long as of a .tar.gz; `serve --help` and `verify` at most 1.2 CPU seconds, without
TensorFlow.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from urllib.request import urlopen

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
from processes import Run, alternate, machine, median, ratios, run

HERE = Path(__file__).parent
RANDOM = np.random.default_rng(0)
HUBEXPORT = [sys.executable, "-m", "hubexport"]
_RESOLVE = """
import sys, tempfile, time, os
import tensorflow_hub as hub
for _ in range(int(sys.argv[2])):
    with tempfile.TemporaryDirectory() as cache:
        os.environ["TFHUB_CACHE_DIR"] = cache
        started = time.perf_counter()
        hub.resolve(sys.argv[1])
        print(time.perf_counter() - started)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5, help="counted runs of each (default 5)")
    parser.add_argument("--megabytes", type=int, default=400, help="of the artifact (default 400)")
    parser.add_argument("--large", action="store_true", help="10 GB, too, of zeros")
    parser.add_argument("--output", type=Path, default=HERE / "publishing.md")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="hubexport-benchmark-") as directory:
        lines = measure(Path(directory), arguments)
    text = "\n".join(lines) + "\n"
    arguments.output.write_text(text)
    print(text)


def artifact(path: Path, size: int, *, sparse: bool = False) -> Path:
    """A directory that has a record, and variables of so many bytes: random ones, or a hole."""
    (path / "variables").mkdir(parents=True)
    (path / "assets.extra").mkdir()
    (path / "saved_model.pb").write_bytes(os.urandom(500_000))
    with open(path / "variables" / "variables.data-00000-of-00001", "wb") as file:
        if sparse:
            file.truncate(size)
        else:
            for _ in range(size // 4_000_000):
                file.write(RANDOM.standard_normal(1_000_000, np.float32).tobytes())
    record = {
        "schema_version": 2, "kind": "encoder", "family": {"name": "bert"}, "architecture": {},
    }  # fmt: skip
    (path / "assets.extra" / "hubexport.json").write_text(json.dumps(record))
    return path


def measure(work: Path, arguments: argparse.Namespace) -> list[str]:
    size = arguments.megabytes * 1_000_000
    source = artifact(work / "artifact", size)
    hub = work / "hub"

    def publish(path: Path = source) -> Run:
        shutil.rmtree(hub, ignore_errors=True)
        return run([
            *HUBEXPORT, "publish", f"--saved_model={path}", "--handle=example/it/1", f"--to={hub}",
            "--allow_unvalidated",
        ])  # fmt: skip

    def copy() -> Run:
        shutil.rmtree(work / "copy", ignore_errors=True)
        program = 'cp -r "$0" "$1" && find "$1" -type f -exec sha256sum {} +'
        return run(["sh", "-c", program, str(source), str(work / "copy")])

    def verify() -> Run:
        return run([*HUBEXPORT, "verify", str(hub / "example/it/1")])

    def sums() -> Run:
        program = 'cd "$0" && sha256sum --check SHA256SUMS'
        return run(["sh", "-c", program, str(hub / "example/it/1")])

    found = alternate({"publish": publish, "cp -r and sha256sum": copy}, arguments.runs)
    shutil.rmtree(work / "copy")
    publish()
    found |= alternate({"verify": verify, "sha256sum --check": sums}, arguments.runs)
    helped = {"serve --help": lambda: run([*HUBEXPORT, "serve", "--help"])}
    found |= alternate(helped, arguments.runs)
    lines = [
        "# Publishing",
        "",
        machine(),
        "",
        f"An artifact of {arguments.megabytes} MB of random float32 numbers; medians of "
        f"{arguments.runs} runs in turn.",
        "",
        "| | seconds | CPU seconds | peak MiB |",
        "| --- | ---: | ---: | ---: |",
    ]
    lines += [
        f"| `{name}` | {median(runs, 'wall'):.2f} | {median(runs, 'cpu'):.2f} "
        f"| {median(runs, 'peak'):.0f} |"
        for name, runs in found.items()
    ]
    pairs = (("publish", "cp -r and sha256sum"), ("verify", "sha256sum --check"))
    lines += ["", *(_ratio(found, *pair) for pair in pairs)]
    lines += _memory(work, publish, large=arguments.large)
    return lines + _resolve(work, source, arguments.runs)


def _ratio(found: dict[str, list[Run]], one: str, other: str) -> str:
    least, middle, most = ratios(found[one], found[other], "wall")
    return f"`{one}` / `{other}`: {middle:.2f} ({least:.2f} to {most:.2f})"


def _memory(work: Path, publish: Callable[[Path], Run], *, large: bool) -> list[str]:
    lines = ["", "Memory of `publish`, files of zeros:", ""]
    for size in (100, 1000, *((10_000,) if large else ())):
        path = artifact(work / f"sparse{size}", size * 1_000_000, sparse=True)
        lines.append(f"- {size:,} MB: {publish(path).peak:.0f} MiB")
        shutil.rmtree(path)
    return lines


def _resolve(work: Path, source: Path, runs: int) -> list[str]:
    """tensorflow_hub's time for both archives, from one server."""
    root = work / "both"
    for name, archive in (("tar", "tar"), ("gz", "tar.gz")):
        run([
            *HUBEXPORT, "publish", f"--saved_model={source}", f"--handle=example/{name}/1",
            f"--to={root}", f"--archive={archive}", "--allow_unvalidated",
        ])  # fmt: skip
    server = subprocess.Popen(
        [*HUBEXPORT, "serve", f"--root={root}", "--port=0"], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        line = next(line for line in server.stdout if "http://" in line)
        url = line[line.index("http://") :].split()[0].rstrip("/")
        with urlopen(f"{url}/healthz"):
            pass
        seconds: dict[str, list[float]] = {"tar": [], "gz": []}
        for _ in range(runs):
            for name, each in seconds.items():
                command = [sys.executable, "-c", _RESOLVE, f"{url}/example/{name}/1", "1"]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                each.append(float(done.stdout.split()[-1]))
    finally:
        server.terminate()
        server.wait()
    pairs = sorted(one / other for one, other in zip(seconds["tar"], seconds["gz"], strict=True))
    return [
        "",
        f"`hub.resolve` of model.tar / model.tar.gz: {pairs[len(pairs) // 2]:.2f} "
        f"({pairs[0]:.2f} to {pairs[-1]:.2f}); {sorted(seconds['tar'])[runs // 2]:.2f} s "
        f"and {sorted(seconds['gz'])[runs // 2]:.2f} s",
    ]


if __name__ == "__main__":
    main()
