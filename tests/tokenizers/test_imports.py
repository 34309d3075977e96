"""Only modules of graphs import TensorFlow; references are imported when they are asked for."""

import subprocess
import sys

_RUN = """
import importlib, pkgutil, sys
from hubexport import tokenizers
for module in pkgutil.walk_packages(tokenizers.__path__, "hubexport.tokenizers."):
    if ".graph" not in module.name and ".data" not in module.name:
        importlib.import_module(module.name)
print([name for name in ("tensorflow", "tokenizers", "transformers") if name in sys.modules])
"""


def test_what_is_imported():
    done = subprocess.run([sys.executable, "-c", _RUN], capture_output=True, text=True, check=False)
    assert done.stdout == "[]\n", done.stderr
