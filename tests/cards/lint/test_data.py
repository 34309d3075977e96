"""The lists of allowed values, and the script that writes them."""

from __future__ import annotations

import json
import subprocess

import pytest

from hubexport.cards.lint.data import generate
from hubexport.cards.lint.findings import load_list

TAGS = {
    "tags/dataset.yaml": "values:\n- id: wikipedia\n  display_name: Wikipedia\n- id: '1b'\n",
    "tags/interactive_visualizer.yaml": "values:\n- id: vision\n  url_template: https://x\n",
    "tags/language.yaml": '# Codes.\nvalues:\n- id: "no"\n- id: en\n',
    "tags/license.yaml": "values:\n- id: mit\n",
    "tags/network_architecture.yaml": "values:\n- id: bert\n",
    "tags/task.yaml": "values:\n- id: text-embedding\n  domains: [text]\n",
    "tags/colab.yaml": "format: url\nrequired_domain: colab.example.org\n",
    "tags/demo.yaml": "format: url\n",
}


@pytest.fixture
def repository(tmp_path):
    """A function that makes a git repository of the files that it is given."""

    def make(name: str, files: dict[str, str]):
        root = tmp_path / name
        for path, text in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text, encoding="utf-8")
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=0"]
        for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
            subprocess.run(["git", "-C", str(root), *command], check=True)
        return root

    return make


def test_tfhub_tags_are_written_from_a_checkout(repository, tmp_path):
    root = repository("tfhub", TAGS)
    target = tmp_path / "tags.json"
    assert generate.main(["tfhub", str(root), f"--output={target}"]) == 0
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["values"]["language"] == ["en", "no"]
    assert written["values"]["dataset"] == ["1b", "wikipedia"]
    assert written["domains"] == {"colab": "colab.example.org", "demo": None}
    head = subprocess.run(
        ["git", "-C", str(root), "rev-parse", "HEAD"], check=True, capture_output=True, text=True
    )
    assert written["sources"][0]["commit"] == head.stdout.strip()


def test_hugging_faces_lists_are_written_from_checkouts(repository, tmp_path):
    licenses = "| Name | Id |\n| --- | --- |\n| MIT | `mit` |\n| X | `openrail++` | <!-- `no` -->\n"
    pipelines = """\
export const PIPELINE_DATA = {
\t"fill-mask": {
\t\tname: "Fill",
\t\tsub: {
\t\t},
\t},
\tother: {
\t},
} satisfies X;
const y = {
\tz: {
\t},
};
"""
    target = tmp_path / "out.json"
    documents = repository("docs", {"docs/hub/repositories-licenses.md": licenses})
    scripts = repository("js", {"packages/tasks/src/pipelines.ts": pipelines})
    generate.main(["hugging_face", str(documents), str(scripts), f"--output={target}"])
    written = json.loads(target.read_text(encoding="utf-8"))
    assert written["licenses"] == ["mit", "openrail++"]
    assert written["pipeline_tags"] == ["fill-mask", "other"]


def test_a_checkout_too_few_is_refused(capsys):
    with pytest.raises(SystemExit):
        generate.main(["hugging_face", "only-one"])
    assert "takes 2 checkouts, given: 1" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["tfhub_tags", "hugging_face", "kaggle"])
def test_lists_say_where_they_are_from(name):
    loaded = load_list(name)
    for source in loaded["sources"]:
        if "repository" in source:
            assert len(source["commit"]) == 40
            assert len(source["date"]) == 10
        else:
            assert source["version"]


def test_lists_hold_what_pages_need():
    values = load_list("tfhub_tags")["values"]
    assert {"no", "en", "multilingual", "zh-cn"} <= set(values["language"])
    assert {"text-embedding", "text-preprocessing"} <= set(values["task"])
    assert {"bert", "transformer", "other"} <= set(values["network-architecture"])
    assert load_list("tfhub_tags")["domains"]["colab"] == "colab.research.google.com"
    hugging_face = load_list("hugging_face")
    assert {"apache-2.0", "other", "openrail++"} <= set(hugging_face["licenses"])
    assert {"fill-mask", "feature-extraction"} <= set(hugging_face["pipeline_tags"])
    for lists in (values, hugging_face, load_list("kaggle")):
        for entries in lists.values():
            names = [str(entry) for entry in entries]
            assert len(set(names)) == len(names)
