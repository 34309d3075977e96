"""What an answer that needs no TensorFlow takes: help, an argument error, a look at a checkpoint.

Bar: under 0.5 s each.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
from processes import Run, alternate, machine, median, run  # noqa: E402

from tests import tiny  # noqa: E402

# Exit codes are not what is measured: the error's own is swallowed.
_CODE = """
import sys
from hubexport import cli
try:
    cli.run(sys.argv[1:])
except SystemExit:
    pass
"""


def main() -> None:
    with tempfile.TemporaryDirectory() as directory:
        prefix = tiny.write_checkpoint(Path(directory))
        commands = {
            "hubexport --help": ["--help"],
            "hubexport encoder --help": ["encoder", "--help"],
            "an argument error": ["encoder", "--checkpoint=nowhere", "--export_path=out"],
            "hubexport inspect": ["inspect", str(prefix)],
        }

        def measured(arguments: list[str]) -> Run:
            return run([sys.executable, "-c", _CODE, *arguments])

        results = alternate(
            {name: (lambda a=arguments: measured(a)) for name, arguments in commands.items()}
            | {"import tensorflow": lambda: run([sys.executable, "-c", "import tensorflow"])},
            runs=5,
        )
    print(f"\n{machine()}; median of 5")
    for name, values in results.items():
        print(f"{name:26} {median(values, 'wall'):6.2f} s {median(values, 'peak'):7,.0f} MiB")


if __name__ == "__main__":
    main()
