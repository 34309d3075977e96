"""Writes the lists of allowed values from checkouts of the public repositories that define them.

python hubexport/cards/lint/data/generate.py tfhub CHECKOUT
python hubexport/cards/lint/data/generate.py hugging_face HUB_DOCS HUGGINGFACE_JS
python hubexport/cards/lint/data/generate.py kaggle KAGGLE_API

The checkouts are of tensorflow/tfhub.dev, huggingface/hub-docs, huggingface/huggingface.js and
Kaggle/kaggle-api, with or without a work tree: files are read from the commit at HEAD. Kaggle's
enums are those of the installed package kagglesdk. With --output=FILE the list is written there.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
TFHUB_LISTS = (
    "dataset",
    "interactive-visualizer",
    "language",
    "license",
    "network-architecture",
    "task",
)
TFHUB_URLS = ("colab", "demo")


def tfhub(checkout: Path) -> dict[str, Any]:
    """Values of the metadata of pages: lists of ids, and for URLs the domain that they must have.

    Raises:
      subprocess.CalledProcessError: `checkout` is no repository, or lacks one of the files.
    """

    def tag(name: str) -> Any:
        return yaml.safe_load(read(checkout, f"tags/{name.replace('-', '_')}.yaml"))

    return {
        "sources": [source("tensorflow/tfhub.dev", checkout, "tags/*.yaml")],
        "values": {
            name: sorted(str(item["id"]) for item in tag(name)["values"]) for name in TFHUB_LISTS
        },
        "domains": {name: tag(name).get("required_domain") for name in TFHUB_URLS},
    }


def hugging_face(hub_docs: Path, huggingface_js: Path) -> dict[str, Any]:
    """Identifiers of licences and of pipelines."""
    licenses, pipelines = "docs/hub/repositories-licenses.md", "packages/tasks/src/pipelines.ts"
    table = read(hub_docs, licenses)
    data = read(huggingface_js, pipelines).split("PIPELINE_DATA = {")[1].split("\n}")[0]
    return {
        "sources": [
            source("huggingface/hub-docs", hub_docs, licenses),
            source("huggingface/huggingface.js", huggingface_js, pipelines),
        ],
        "licenses": sorted(re.findall(r"^\|[^|]+\|\s*`([^`]+)`\s*\|", table, re.MULTILINE)),
        "pipeline_tags": sorted(re.findall(r"^\t\"?([a-z0-9-]+)\"?: \{", data, re.MULTILINE)),
    }


def kaggle(kaggle_api: Path) -> dict[str, Any]:
    """Names of licences, frameworks and instance types, and the variables of `usage`."""
    from kagglesdk.models.types.model_enums import ModelFramework, ModelInstanceType

    document = "docs/models_metadata.md"
    text = read(kaggle_api, document)
    licenses = text.split("### Licenses")[1].split("###")[0]
    release = importlib.metadata.version("kagglesdk")
    frameworks = names(ModelFramework, "MODEL_FRAMEWORK_")
    return {
        "sources": [
            source("Kaggle/kaggle-api", kaggle_api, document),
            {"package": "kagglesdk", "version": release, "files": "models/types/model_enums.py"},
        ],
        "licenses": sorted(re.findall(r"^- (.+?)\s*$", licenses, re.MULTILINE)),
        "frameworks": sorted(set(frameworks) - {"unspecified"}),
        "instance_types": [
            name[0].upper() + name[1:] for name in names(ModelInstanceType, "MODEL_INSTANCE_TYPE_")
        ],
        "usage_variables": sorted(set(re.findall(r"^- `\$\{(\w+)\}`", text, re.MULTILINE))),
    }


def names(enum: Any, prefix: str) -> list[str]:
    """The members of an enum as Kaggle's documents spell them: TENSOR_FLOW_2 as tensorFlow2."""
    words = [member.name.removeprefix(prefix).lower().split("_") for member in enum]
    return [first + "".join(word.capitalize() for word in rest) for first, *rest in words]


def source(repository: str, checkout: Path, files: str) -> dict[str, str]:
    """Where a list was taken from, and when that was last changed."""
    commit, day = git(checkout, "log", "-1", "--format=%H %cs").split()
    return {"repository": repository, "commit": commit, "date": day, "files": files}


def read(checkout: Path, path: str) -> str:
    """A file's text at HEAD."""
    return git(checkout, "show", f"HEAD:{path}")


def git(checkout: Path, *arguments: str) -> str:
    """What a git command prints."""
    command = ["git", "-C", str(checkout), *arguments]
    return subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout


LISTS: dict[str, tuple[Callable[..., dict[str, Any]], str, int]] = {
    "tfhub": (tfhub, "tfhub_tags.json", 1),
    "hugging_face": (hugging_face, "hugging_face.json", 2),
    "kaggle": (kaggle, "kaggle.json", 1),
}


def main(arguments: list[str] | None = None) -> int:
    """Writes one of the lists."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("list", choices=sorted(LISTS))
    parser.add_argument("checkouts", nargs="+", type=Path)
    parser.add_argument("--output", type=Path)
    parsed = parser.parse_args(arguments)
    make, name, count = LISTS[parsed.list]
    if len(parsed.checkouts) != count:
        parser.error(f"{parsed.list} takes {count} checkouts, given: {len(parsed.checkouts)}")
    data = make(*parsed.checkouts)
    target = parsed.output or HERE / name
    target.write_text(json.dumps(data, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
