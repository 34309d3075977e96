"""The documents say what the program does: lines parse, names exist, the record is described."""

from __future__ import annotations

import argparse
import ast
import contextlib
import importlib
import importlib.util
import io
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubexport import cli
from hubexport.poolers import POOLERS
from tests import forks
from tests.publishing.servers import Faults, served

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted(
    path for folder in (".", "docs", "examples") for path in (ROOT / folder).glob("*.md")
)
BY_NAME = {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in DOCUMENTS}
# Of argparse, absl, pip, tf2onnx, docker, gcloud, TensorFlow Serving, and the script in docs/.
OTHER_FLAGS = {
    "--check", "--exclude", "--flagfile", "--help", "--no-deps", "--recursive", "--saved-model",
    "--signature_def", "--version",
    "--batching_parameters_file", "--enable_batching", "--enable_model_warmup",
    "--grpc_max_threads", "--model_config_file", "--rest_api_num_threads", "--rm",
    "--tensorflow_inter_op_parallelism", "--tensorflow_intra_op_parallelism",
}  # fmt: skip
README_PYTHON, PAGES_PYTHON = (
    re.findall(r"```python\n(.*?)```", BY_NAME[name], re.DOTALL)
    for name in ("README.md", "docs/pages.md")
)


def commands() -> dict[str, argparse.ArgumentParser]:
    """Each command's own parser."""
    return cli.make_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]


def sources() -> Iterator[tuple[str, str]]:
    """Every text that may show command lines, with its name."""
    yield from BY_NAME.items()
    for name, parser in commands().items():
        yield f"hubexport {name} --help", parser.epilog or ""


def command_lines() -> list[tuple[str, str]]:
    """(where, command line) for each line of code that runs hubexport."""
    found = []
    names = "|".join(cli.COMMANDS)
    for where, text in sources():
        joined = re.sub(r"\\\n\s*", "", text)
        found += [
            (where, line.strip().removeprefix("$ ").split(" | ")[0])
            for line in joined.splitlines()
            if re.match(rf"\s*(\$ )?hubexport\s+(-|{names})", line)
        ]
    return found


@pytest.mark.parametrize(("where", "line"), command_lines())
def test_command_lines_parse(where: str, line: str) -> None:
    argv = shlex.split(line, comments=True)
    if "--help" in argv or "--version" in argv or "DIRECTORY" in argv:
        return
    message = io.StringIO()
    try:
        with contextlib.redirect_stderr(message):
            cli.make_parser().parse_args(argv[1:])
    except SystemExit:
        pytest.fail(f"{where}: {line}\n{message.getvalue()}")


def test_there_are_command_lines() -> None:
    where = {name for name, _ in command_lines()}
    assert {"README.md", "docs/commands.md", "hubexport encoder --help"} <= where
    assert len(command_lines()) > 20


def test_every_flag_that_is_mentioned_exists() -> None:
    known = {o for parser in commands().values() for o in parser._option_string_actions}
    programs = [*(ROOT / "examples").glob("*.py"), ROOT / "hubexport/validation/pjrt/__main__.py"]
    for program in programs:
        known |= set(re.findall(r'add_argument\(\s*"(--\w+)"', program.read_text("utf-8")))
    for name, text in BY_NAME.items():
        mentioned = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", text))
        assert mentioned <= known | OTHER_FLAGS, name


def test_every_flag_is_documented() -> None:
    for name, parser in commands().items():
        section = BY_NAME["docs/commands.md"].split(f"## hubexport {name}\n")[1].split("\n## ")[0]
        for option in parser._option_string_actions:
            assert option in ("-h", "--help") or f"`{option}" in section, (name, option)


def test_commands_page_is_up_to_date() -> None:
    script = ROOT / "docs" / "generate_commands.py"
    done = subprocess.run(
        [sys.executable, script, "--check"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_relative_links_exist() -> None:
    for path in DOCUMENTS:
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text("utf-8")):
            if not target.startswith(("http://", "https://")):
                assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_files_that_are_named_exist() -> None:
    for name, text in BY_NAME.items():
        for file in re.findall(r"`((?:docs|examples|tests|hubexport)/[\w/.]+\.\w+)`", text):
            assert (ROOT / file).exists(), f"{name}: {file}"
    packages = "families|networks|pipelines|saved_model|exporting|checkpoints|tokenizers|validation"
    for file in re.findall(rf"`((?:{packages})/\w+\.py)`", BY_NAME["CONTRIBUTING.md"]):
        assert (ROOT / "hubexport" / file).exists(), file


def test_contributing_quotes_the_source() -> None:
    quotes = re.findall(
        r"`families/(\w+\.py)`:\n\n```python\n(.*?)```", BY_NAME["CONTRIBUTING.md"], re.DOTALL
    )
    assert [name for name, _ in quotes] == ["roberta.py", "distilbert.py"]
    for name, quote in quotes:
        source = (ROOT / "hubexport" / "families" / name).read_text("utf-8")
        lines = {line.split("  # noqa")[0].strip() for line in source.splitlines()}
        assert {line.strip() for line in quote.splitlines()} <= lines, name


def test_makefile_has_the_targets() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for name, text in BY_NAME.items():
        for target in re.findall(r"(?:^|`)make (\w+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), f"{name}: make {target}"


def test_python_compiles() -> None:
    for name, text in BY_NAME.items():
        for snippet in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
            compile(snippet, name, "exec")
    for path in (ROOT / "examples").glob("*.py"):
        compile(path.read_text("utf-8"), str(path), "exec")


def test_python_api_exists() -> None:
    """Names of `hubexport` and the keywords of its calls."""
    seen = set()
    for snippet in README_PYTHON + PAGES_PYTHON:
        for node in ast.walk(ast.parse(snippet)):
            if not (isinstance(node, ast.Attribute) and ast.unparse(node.value) == "hubexport"):
                continue
            seen.add(node.attr)
        for call in [n for n in ast.walk(ast.parse(snippet)) if isinstance(n, ast.Call)]:
            name = ast.unparse(call.func)
            if name.startswith("hubexport."):
                accepted = parameters(name.removeprefix("hubexport."))
                assert {keyword.arg for keyword in call.keywords} <= accepted, name
    assert seen == {
        "export_encoder", "export_pipeline", "export_preprocessor", "load_record",
        "make_reference", "publish", "render_page", "validate", "verify",
    }  # fmt: skip
    hubexport = importlib.import_module("hubexport")
    for name in [*seen, *re.findall(r"`hubexport\.(?!json\b)(\w+)", "\n".join(BY_NAME.values()))]:
        assert hasattr(hubexport, name), name


def test_readme_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exports first, then, in another process and as a reader would, what uses the artifacts."""
    if importlib.util.find_spec("tensorflow_text") is None:
        pytest.skip("tensorflow_text is not installed")
    pytest.importorskip("transformers")
    import hubexport
    from tests import tiny
    from tests.oracles import hugging_face

    model = tmp_path / "bert-base-cased"
    sizes = {"max_position_embeddings": 128, "type_vocab_size": 2}
    hugging_face.build("BertForPreTraining", **sizes).save_pretrained(model)
    tiny.write_vocabulary(model / "vocab.txt", upper=True)
    with_pipeline, with_hub, with_tensorflow, api, publishing, with_keras = README_PYTHON
    # All gates take a minute, and are run elsewhere.
    everything = 'reference="reference")'
    assert everything in api
    api = api.replace(everything, 'reference="reference", gates=["integrity"])')
    monkeypatch.chdir(tmp_path)
    exec(compile(api, "README.md", "exec"), names := {})
    assert json.loads(json.dumps(names["record"])) == hubexport.load_record("out/encoder")
    exec(compile(publishing, "README.md", "exec"), names)
    assert names["published"][0].state == "published"
    hubexport.publish(saved_model="out/embed", handle="me/embed/next", to=["hub"])
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    (page,) = (tmp_path / "hub").glob("me/embed/1/README.md")
    (on_page,) = re.findall(r"```python\n(.*?)```", page.read_text("utf-8"), re.DOTALL)
    assert "outputs = pipeline(tf.constant([" in on_page
    with served(tmp_path / "hub", Faults()) as url:
        remote = (with_hub + on_page).replace("http://127.0.0.1:8080", url)
        program = with_pipeline + remote + with_tensorflow + with_keras
        done = forks.run(program, preload=forks.TENSORFLOW)
    assert done.returncode == 0, done.stderr[-4000:]


def parameters(name: str) -> set[str]:
    """The keywords of a public function."""
    import inspect

    import hubexport

    return set(inspect.signature(getattr(hubexport, name)).parameters)


@pytest.mark.parametrize(
    ("command", "function"),
    [
        ("encoder", "export_encoder"),
        ("preprocessor", "export_preprocessor"),
        ("pipeline", "export_pipeline"),
        ("reference", "make_reference"),
    ],
)
def test_python_arguments_are_named_as_the_flags(command: str, function: str) -> None:
    flags = {action.dest for action in commands()[command]._actions} - {"help"}
    assert flags <= parameters(function)


def test_versions_are_those_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    versions = BY_NAME["README.md"].split("## Versions")[1].split("\n## ")[0]
    low, high = re.search(r'"tensorflow>=2\.(\d+),<2\.(\d+)"', project).groups()
    assert f'"tensorflow-text>=2.{low},<2.{high}"' in project
    assert re.findall(r"TensorFlow 2\.(\d+) to 2\.(\d+)", versions) == [(low, str(int(high) - 1))]
    first, last = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', project).groups()
    assert re.findall(r"Python 3\.(\d+) to 3\.(\d+)", versions) == [(first, str(int(last) - 1))]
    elsewhere = BY_NAME["README.md"].replace(versions, "")
    assert not re.search(r"(TensorFlow|Python) \d+\.\d+", elsewhere)


def test_documents_say_of_poolers_what_the_table_says() -> None:
    section = BY_NAME["README.md"].split("## Poolers")[1].split("\n## ")[0]
    table = {name: pooler.help for name, pooler in POOLERS.items()}
    assert dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE)) == table
    commands = BY_NAME["docs/commands.md"].split("\npoolers:\n")[1].split("\n\n")[0]
    assert dict(re.findall(r"^  (\w+) +(.*)$", commands, re.MULTILINE)) == table


def test_the_record_is_described_for_every_pooler() -> None:
    rows = described("### `pooler`")
    assert set(re.findall(r"`(\w+)`", rows["pooled_output"])) == {*POOLERS}
    # "... : true or null for A, false for B, null for C"
    parts = re.split(r", (?=false|null)", rows["trained"].split(": ", 1)[1])
    dense = {name: pooler.dense for name, pooler in POOLERS.items()}
    for part, source in zip(parts, ("checkpoint", "generated", ""), strict=True):
        named = {name for name, each in dense.items() if each == source}
        assert set(re.findall(r"`(\w+)`", part)) == named, part


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The records of a tiny encoder, validated, and a tiny preprocessor, as they are on disk."""
    if importlib.util.find_spec("tensorflow_text") is None:
        pytest.skip("tensorflow_text is not installed")
    import hubexport
    from tests.cards.rendering.exported import BASIC, Artifacts
    from tests.validation.here import run_here

    artifacts = Artifacts(tmp_path_factory.mktemp("records"))
    encoder, preprocessor = (artifacts[name] for name in BASIC)
    gates = ["integrity", "batch"]
    with run_here():
        report = hubexport.validate(saved_model=encoder.path, gates=gates, update_record=True)
    assert report.passed
    return {"encoder": hubexport.load_record(encoder.path), "preprocessor": preprocessor.record}


def described(heading: str) -> dict[str, str]:
    """Field -> description, of the table below a heading of docs/record.md."""
    text = BY_NAME["docs/record.md"]
    section = re.split(r"^#", text.split(f"\n{heading}\n")[1], flags=re.MULTILINE)[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", section, re.MULTILINE))


@pytest.mark.parametrize("kind", ["encoder", "preprocessor"])
def test_every_field_of_the_record_is_described(records: Any, kind: str) -> None:
    own = described("## Encoders" if kind == "encoder" else "## Preprocessors")
    same_fields(records[kind], described("## Every record") | own)


@pytest.mark.parametrize(
    "field", ["family", "architecture", "checkpoint", "pooler", "tensors[]", "tokenizer"]
)
def test_every_field_of_the_encoders_parts_is_described(records: Any, field: str) -> None:
    heading = "## `tokenizer` of an encoder" if field == "tokenizer" else f"### `{field}`"
    part = records["encoder"][field.removesuffix("[]")]
    same_fields(part[0] if field.endswith("[]") else part, described(heading))


@pytest.mark.parametrize("kind", ["encoder", "preprocessor"])
def test_every_field_of_the_saved_model_is_described(records: Any, kind: str) -> None:
    same_fields(records[kind]["saved_model"], described("## `saved_model`"))
    row = described("## `saved_model`")["root"]
    assert set(records[kind]["saved_model"]["root"]) == set(re.findall(r"`(\w+)`", row))
    versions = described("## Every record")["environment"]
    assert set(records[kind]["environment"]) == set(re.findall(r"`([\w-]+)`", versions))


def test_every_field_of_the_validation_is_described(records: Any) -> None:
    (entry,) = records["encoder"]["validation"]
    same_fields(entry, described("## `validation[]`"))
    for gate in entry["gates"]:
        same_fields(gate, described("### `validation[].gates[]`"))
    row = described("### `validation[].gates[]`")["worst"]
    assert set(entry["gates"][1]["worst"]) == set(re.findall(r"`(\w+)`", row))
    assert "outputs" in entry["gates"][1]


def test_every_field_of_the_preprocessors_tokenizer_is_described(records: Any) -> None:
    record = records["preprocessor"]
    same_fields(record["tokenizer"], described("### `tokenizer` of a preprocessor"))
    same_fields(record["self_test"], described("### `self_test`"))


def same_fields(part: dict[str, Any], rows: dict[str, str]) -> None:
    """The same names, except for rows that say "Only where ..."."""
    optional = {name for name, text in rows.items() if text.startswith("Only ")}
    assert rows
    assert set(rows) - optional <= set(part) <= set(rows)
