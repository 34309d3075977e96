"""Adds the op registry of the installed TensorFlow and tensorflow-text to op_packages.json.

    python hubexport/saved_model/data/generate_op_packages.py

What `import tensorflow` registers is TensorFlow's; what `import tensorflow_text` adds is
tensorflow-text's. Run it once in an environment of each version that is to be known: the file
holds the union, and names the versions that went into it. A known op is never removed, since
SavedModels outlive versions.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

OP_PACKAGES = Path(__file__).with_name("op_packages.json")


def registered_ops() -> dict[str, Any]:
    """Ops and versions of this environment, in the form of op_packages.json.

    Needs a process that has not imported tensorflow_text before.
    """
    import tensorflow as tf

    before = _registry()
    import tensorflow_text

    return {
        "versions": {
            "tensorflow": [tf.__version__],
            "tensorflow-text": [tensorflow_text.__version__],
        },
        "ops": {
            "tensorflow": sorted(before),
            "tensorflow-text": sorted(_registry() - before),
        },
    }


def _registry() -> set[str]:
    from tensorflow.core.framework import op_def_pb2

    # No public function lists the op registry; this is the C API's TF_GetAllOpList.
    from tensorflow.python.client import pywrap_tf_session

    serialized = pywrap_tf_session.TF_GetBuffer(pywrap_tf_session.TF_GetAllOpList())
    return {op.name for op in op_def_pb2.OpList.FromString(serialized).op}


def merged(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """The union of two such tables, every list sorted."""
    return {
        section: {
            package: sorted({*old.get(section, {}).get(package, ()), *values})
            for package, values in new[section].items()
        }
        for section in new
    }


def main() -> None:
    """Adds the ops of the packages that are installed to the table."""
    old = json.loads(OP_PACKAGES.read_text("utf-8")) if OP_PACKAGES.exists() else {}
    # One op per line: a new version of TensorFlow is a diff of a few lines.
    text = json.dumps(merged(old, registered_ops()), indent=0)
    OP_PACKAGES.write_text(text + "\n", "utf-8")


if __name__ == "__main__":
    main()
