"""`hubexport card` from the outside: what it writes, what it says, its exit codes.

Pages depend on the records of artifacts alone, so that these artifacts have nothing else.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import hubexport
from hubexport import cli
from hubexport.cards.loading import Catalogue, load_catalogue
from hubexport.cards.rendering import job
from hubexport.cards.rendering.formats import FORMATS
from hubexport.cards.rendering.platforms import HUB_URL
from hubexport.errors import UsageError
from tests.cards.material import MODEL_CARDS
from tests.cards.rendering.exported import BASIC, Artifacts, enlarged

SERIES = "tensorflow/small_bert/bert_en_uncased_"
SMALL, OTHER = f"{SERIES}L-4_H-256_A-4", f"{SERIES}L-2_H-128_A-2"
LAMBERT = "tensorflow/lambert_en_uncased_L-24_H-1024_A-16"
PREPROCESSOR = "tensorflow/bert_en_uncased_preprocess"
FILES = (
    "collections.yaml", "datasets.yaml", "papers.yaml", "publishers.yaml",
    "encoders/lambert.yaml", "encoders/small_bert.yaml", "preprocessors/bert.yaml",
)  # fmt: skip
KAGGLE = ["model-instance-metadata.json", "model-metadata.json"]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return load_catalogue(MODEL_CARDS)


@pytest.fixture(scope="module")
def records(
    catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    """Handle -> record, made of those of small artifacts."""
    artifacts = Artifacts(tmp_path_factory.mktemp("artifacts"))
    encoder, preprocessor = (artifacts[name].record for name in BASIC)
    made = {handle: enlarged(encoder, catalogue.encoders[handle]) for handle in (SMALL, OTHER)}
    made[LAMBERT] = enlarged(encoder, catalogue.encoders[LAMBERT])
    return made | {
        PREPROCESSOR: enlarged(preprocessor, catalogue.preprocessors[PREPROCESSOR])
    }  # fmt: skip


@pytest.fixture
def cards(tmp_path: Path) -> Path:
    """A directory of some of the catalogue's files."""
    for name in FILES:
        (tmp_path / "cards" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(MODEL_CARDS / name, tmp_path / "cards" / name)
    return tmp_path / "cards"


def artifact(directory: Path, record: Mapping[str, Any]) -> Path:
    (directory / "assets.extra").mkdir(parents=True)
    (directory / "assets.extra" / "hubexport.json").write_text(json.dumps(record), "utf-8")
    return directory


@pytest.fixture
def small(tmp_path: Path, records: Mapping[str, Any]) -> Path:
    return artifact(tmp_path / "artifact", records[SMALL])


Card = Callable[..., tuple[int, str, str]]


@pytest.fixture
def card(capsys: pytest.CaptureFixture[str]) -> Card:
    """Runs the command in this process: exit code, what it says, what it complains of."""

    def run(**flags: object) -> tuple[int, str, str]:
        argv = [f"--{k}={v}" if v is not True else f"--{k}" for k, v in flags.items()]
        code = cli.run(["card", *argv])
        said = capsys.readouterr()
        # Of a page that was written, what is wrong with it is said, if anything.
        assert code or not said.err or str(flags["output"]) in said.err
        return code, said.out, said.err

    return run


def tree(directory: Path) -> dict[str, str]:
    files = (path for path in sorted(directory.rglob("*")) if path.is_file())
    return {path.relative_to(directory).as_posix(): path.read_text("utf-8") for path in files}


@pytest.mark.parametrize(
    ("name", "output", "written"),
    [
        ("tfhub", "pages", ["4.md"]),
        ("tfhub", "new/page.md", ["page.md"]),
        ("huggingface", "new/pages", ["README.md"]),
        ("huggingface", "card.md", ["card.md"]),
        ("kaggle", "pages", KAGGLE),
    ],
)
def test_files_are_those_of_the_function(
    name: str, output: str, written: list[str],
    card: Card, cards: Path, small: Path, tmp_path: Path,
) -> None:  # fmt: skip
    file, target = cards / "encoders" / "small_bert.yaml", tmp_path / "out" / output
    code, said, _ = card(card=file, saved_model=small, format=name, output=target)
    assert code == 0
    assert said.startswith(f"format       {name}\nwritten      ")
    directory = target.parent if target.suffix else target
    expected = hubexport.render_page(card=file, saved_model=small, format=name)
    found = tree(directory)
    assert sorted(found) == [path.replace("4.md", "1.md") for path in written]
    assert sorted(found.values()) == sorted(expected.values())
    assert "L-4_H-256_A-4" in found[min(found)] or "l-4-h-256-a-4" in found[min(found)]


def test_the_program_writes_a_page(cards: Path, small: Path, tmp_path: Path) -> None:
    argv = [f"--card={cards / 'encoders' / 'small_bert.yaml'}", f"--saved_model={small}"]
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "hubexport", "card", *argv, "--output=page.md"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
        env={**os.environ, "PYTHONPATH": str(Path(hubexport.__file__).parents[1])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "format       tfhub\nwritten      page.md\n"
    assert (tmp_path / "page.md").read_text("utf-8").startswith(f"# Module {SMALL}/1\n")
    assert "tensorflow.python" not in done.stderr  # nor is it imported


def test_the_artifact_says_which_card(
    card: Card, cards: Path, tmp_path: Path, records: Mapping[str, Any]
) -> None:
    for handle in (SMALL, OTHER, PREPROCESSOR):
        made = artifact(tmp_path / handle, records[handle])
        file = "preprocessors/bert.yaml" if handle == PREPROCESSOR else "encoders/small_bert.yaml"
        page = tmp_path / "page.md"
        assert card(card=cards / file, saved_model=made, output=page)[0] == 0
        assert page.read_text("utf-8").startswith(f"# Module {handle}/")


def test_hidden_files_around_the_cards_are_none(cards: Path) -> None:
    """As in this repository, whose root has settings of a tool."""
    (cards.parent / ".pre-commit-config.yaml").write_text("repos: []\n")
    assert job.catalogue_directory(cards / "papers.yaml") == cards
    assert job.catalogue_directory(cards / "encoders" / "lambert.yaml") == cards


def test_the_handle_says_which_card(
    card: Card, cards: Path, tmp_path: Path, records: Mapping[str, Any]
) -> None:
    record = {**records[SMALL], "architecture": {}, "saved_model": {}, "heads": None}
    unclear = artifact(tmp_path / "unclear", record)
    flags = {"card": cards / "encoders" / "small_bert.yaml", "saved_model": unclear}
    code, _, error = card(**flags, output=tmp_path / "page.md")
    assert code == 2 and "several cards fit" in error and "--handle" in error
    code, _, error = card(**flags, output=tmp_path / "page.md", handle="tensorflow/other")
    assert code == 2 and "no card with this handle" in error and SERIES in error
    assert not (tmp_path / "page.md").exists()


@pytest.mark.parametrize(
    ("handle", "file", "title"),
    [
        ("tensorflow/small_bert", "collections.yaml", "# Collection tensorflow/small_bert/1\n"),
        ("tensorflow", "publishers.yaml", "# Publisher tensorflow\n"),
    ],
)
def test_collections_and_publishers_need_no_artifact(
    handle: str, file: str, title: str, card: Card, cards: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    assert card(card=cards / file, handle=handle, output=page)[0] == 0
    assert page.read_text("utf-8").startswith(title)


def test_addresses_of_a_publisher(card: Card, cards: Path, small: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    card(
        card=cards / "encoders" / "small_bert.yaml", saved_model=small, output=page,
        hub_url="https://hub.example.org/", asset_url="https://files.example.org/a/",
    )  # fmt: skip
    text = page.read_text("utf-8")
    assert f'encoder_handle = "https://hub.example.org/{SMALL}/1"' in text
    assert f"<!-- asset-path: https://files.example.org/a/{SMALL}/1.tar.gz -->" in text
    assert "https://tfhub.dev" not in text


def test_what_pages_lack_is_said(card: Card, cards: Path, small: Path, tmp_path: Path) -> None:
    flags = {"card": cards / "encoders" / "small_bert.yaml", "saved_model": small}
    page = flags["output"] = tmp_path / "page.md"
    code, _, error = card(**flags)
    assert code == 0 and page.exists()
    assert error.startswith(f"{page}:") and "asset-path" in error and error.count("\n") == 1
    assert card(**flags, asset_url="https://files.example.org")[2] == ""


class TestAll:
    PAGES = (
        f"tensorflow/models/{SMALL.partition('/')[2]}/1.md",
        f"tensorflow/models/{PREPROCESSOR.partition('/')[2]}/3.md",
        "tensorflow/collections/small_bert/1.md", "tensorflow/tensorflow.md",
    )  # fmt: skip

    @pytest.fixture(params=["{handle}", "{handle}/{version}", "elsewhere/{number}"])
    def models(
        self, request: pytest.FixtureRequest, tmp_path: Path, records: Mapping[str, Any]
    ) -> Path:
        for number, (handle, version) in enumerate(((SMALL, 1), (PREPROCESSOR, 3))):
            place = request.param.format(handle=handle, version=version, number=number)
            artifact(tmp_path / "models" / place, records[handle])
        return tmp_path / "models"

    def test_pages(self, card: Card, cards: Path, models: Path, tmp_path: Path) -> None:
        out = tmp_path / "out"
        code, said, _ = card(all=True, card=cards, saved_model=models, output=out)
        pages = tree(out)
        assert code == 0 and f"{len(pages)} files in {out}" in said
        assert {*self.PAGES} <= {*pages}
        assert not [path for path in pages if "H-128" in path or "lambert" in path]
        for path, text in pages.items():
            handle = path.replace("/models/", "/").rpartition("/")[0]
            assert text.startswith("# ") and handle.partition("/collections")[0] in text, path

    @pytest.mark.parametrize("models", ["{handle}"], indirect=True)
    @pytest.mark.parametrize(
        ("name", "paths"),
        [
            ("huggingface", [SMALL.replace("bert/", "bert-") + "/README.md"]),
            ("kaggle", [f"{SMALL}/1/{file}" for file in KAGGLE]),
        ],
    )
    def test_other_formats(
        self, name: str, paths: list[str], card: Card, cards: Path, models: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        assert card(all=True, card=cards, saved_model=models, format=name, output=out)[0] == 0
        pages = tree(out)
        assert {*paths} <= {*pages}
        assert len(pages) == 2 * len(paths)  # of models only

    @pytest.mark.parametrize("models", ["{handle}"], indirect=True)
    def test_site(self, card: Card, cards: Path, models: Path, tmp_path: Path) -> None:
        for package in ("matplotlib", "pygments"):
            pytest.importorskip(package)
        out = tmp_path / "out"
        assert card(all=True, card=cards, saved_model=models, format="html", output=out)[0] == 0
        pages = tree(out)
        assert "index.html" in pages
        assert [path for path in pages if "L-4_H-256_A-4" in path]
        assert [path for path in pages if "lambert" in path]  # exported or not

    def test_two_of_one_model(
        self, card: Card, cards: Path, tmp_path: Path, records: Mapping[str, Any]
    ) -> None:
        for place in ("one", "two"):
            artifact(tmp_path / "models" / place, records[SMALL])
        code, _, error = card(
            all=True, card=cards, saved_model=tmp_path / "models", output=tmp_path / "out"
        )
        assert code == 1 and "of the same model" in error and SMALL in error
        assert not (tmp_path / "out").exists()


class TestCheck:
    def test_fresh(self, card: Card, cards: Path, small: Path, tmp_path: Path) -> None:
        flags = {"card": cards / "encoders" / "small_bert.yaml", "saved_model": small}
        for output in ("page.md", "pages"):
            flags["output"] = tmp_path / output
            card(**flags)
            before = tree(tmp_path)
            code, said, _ = card(**flags, check=True)
            assert (code, said) == (0, "compared     1 files, 0 stale\n")
            assert tree(tmp_path) == before

    def test_missing(self, card: Card, cards: Path, small: Path, tmp_path: Path) -> None:
        file, before = cards / "encoders" / "small_bert.yaml", tree(tmp_path)
        for output in (tmp_path / "new" / "page.md", tmp_path / "other"):
            code, said, _ = card(card=file, saved_model=small, output=output, check=True)
            assert code == 1 and str(output) in said and "No such file" in said
        assert tree(tmp_path) == before

    def test_stale(self, card: Card, cards: Path, small: Path, tmp_path: Path) -> None:
        file, page = cards / "encoders" / "small_bert.yaml", tmp_path / "page.md"
        card(card=file, saved_model=small, output=page)
        fresh = page.read_text("utf-8")
        file.write_text(file.read_text("utf-8").replace("If a larger", "When a larger"), "utf-8")
        code, said, _ = card(card=file, saved_model=small, output=page, check=True)
        assert code == 1 and f"stale        {page}\n" in said
        assert "-- If a larger model" in said and "+- When a larger model" in said
        assert "1 files, 1 stale" in said
        assert page.read_text("utf-8") == fresh

    def test_tree(
        self, card: Card, cards: Path, tmp_path: Path, records: Mapping[str, Any]
    ) -> None:
        artifact(tmp_path / "models" / SMALL, records[SMALL])
        flags = {"all": True, "card": cards, "saved_model": tmp_path / "models"}
        flags["output"] = out = tmp_path / "out"
        card(**flags)
        assert card(**flags, check=True)[0] == 0
        page = out / "tensorflow" / "tensorflow.md"
        page.write_bytes(page.read_bytes().replace(b"\n", b"\r\n"))
        code, said, _ = card(**flags, check=True)
        assert code == 1 and "line ends differ" in said and said.count("stale  ") == 1


def test_errors(
    card: Card, cards: Path, small: Path, tmp_path: Path, records: Mapping[str, Any]
) -> None:
    series, before = cards / "encoders" / "small_bert.yaml", tree(tmp_path)
    lambert = {"card": cards / "encoders" / "lambert.yaml"}
    of_small = {"card": series, "saved_model": small}
    cases: list[tuple[dict[str, Any], int, tuple[str, ...]]] = [
        ({**of_small, "card": cards / "absent.yaml"}, 1, ("absent.yaml", "No such file")),
        ({**of_small, "card": cards / "encoders" / "absent"}, 1, ("No such file",)),
        ({**of_small, "saved_model": tmp_path / "no"}, 1, ("no readable record",)),
        ({**lambert, "saved_model": small}, 1, ("no card fits", "family: the card says lambert")),
        ({**of_small, "handle": OTHER}, 1, ("num_hidden_layers: the card says 2", "says 4")),
        ({"card": cards / "collections.yaml"}, 2, ("several cards fit", "--handle")),
        ({"card": cards / "collections.yaml", "saved_model": small}, 2, ("of an encoder",)),
        ({"card": cards / "papers.yaml"}, 2, ("no card",)),
        ({"card": series, "handle": SMALL}, 2, ("speaks of its artifact", "--saved_model")),
        (
            {"card": cards / "publishers.yaml", "handle": "tensorflow", "format": "kaggle"},
            2,
            ("no pages of publishers",),
        ),
        (
            {**lambert, "saved_model": artifact(tmp_path / "l", records[LAMBERT]),
             "format": "kaggle"},
            1,
            ("licence", LAMBERT),
        ),
        ({**of_small, "all": True}, 2, ("--all is for a directory",)),
        ({"all": True, "card": cards, "handle": SMALL}, 2, ("exclude each other",)),
        ({"all": True, "card": cards}, 2, ("--saved_model",)),
        ({"all": True, "card": cards, "saved_model": cards}, 1, ("no artifact with a record",)),
        ({**of_small, "output": series / "page.md"}, 1, ("a page cannot be written",)),
    ]  # fmt: skip
    before = tree(tmp_path)
    for flags, expected, parts in cases:
        code, out, error = card(**{"output": tmp_path / "out.md", **flags})
        assert (code, out) == (expected, ""), (flags, error)
        assert error.startswith("hubexport: error: ") and "hint: " in error
        assert not [part for part in parts if part not in error], (parts, error)
    assert tree(tmp_path) == before


def test_flags_that_there_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    for argv in (["--card=x"], ["--card=x", "--output=y", "--format=pdf"], ["--output=y"]):
        with pytest.raises(SystemExit) as caught:
            cli.run(["card", *argv])
        assert caught.value.code == 2
        assert "usage: hubexport card" in capsys.readouterr().err


def test_help_names_what_there_is() -> None:
    """The command's choices are written out, so that --help does not load the renderers."""
    parsers = cli.make_parser()._subparsers._group_actions[0].choices  # type: ignore[union-attr]
    actions = {each.dest: each for each in parsers["card"]._actions}
    assert list(actions["format"].choices or ()) == [*FORMATS, job.SITE]
    assert actions["hub_url"].default == HUB_URL


def test_the_page_of_a_publication(cards: Path, small: Path, tmp_path: Path) -> None:
    """A card's page with Markdown after it, for the card's own version only."""
    changes = tmp_path / "changes.md"
    changes.write_text("## Changes\n\nOne *bit*.\n")
    given: dict[str, Any] = {
        "saved_model": small, "to": [tmp_path / "hub"], "allow_unvalidated": True,
        "card": [cards / "encoders" / "small_bert.yaml", changes],
        "hub_url": "https://hub.example.org/",
    }  # fmt: skip
    (found,) = hubexport.publish(handle=f"{SMALL}/1", **given)
    place = Path(found.where)
    page = (place / "README.md").read_text("utf-8")
    assert page.startswith(f"# Module {SMALL}/1\n") and page.endswith("## Changes\n\nOne *bit*.\n")
    assert f"https://hub.example.org/{SMALL}/1" in page
    assert found.manifest.description and found.manifest.description in page
    html = (place / "index.html").read_text("utf-8")
    assert "<!-- " not in html and "&lt;!--" not in html and "<em>bit</em>" in html
    with pytest.raises(UsageError, match="card is of another version"):
        hubexport.publish(handle=f"{SMALL}/2", **given)
    with pytest.raises(UsageError, match="no card with this handle"):
        hubexport.publish(handle="example/bert/1", **given)
    assert hubexport.publish(handle=f"{SMALL}/next", **given)[0].state == "already published"
