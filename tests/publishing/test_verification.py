"""Verifying finds every byte that is not as it was published, and names its file."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from hubexport import cli
from hubexport.errors import HubexportError
from hubexport.publishing.manifest import read_manifest
from hubexport.publishing.publication import publish
from hubexport.publishing.verification import verify
from hubexport.saved_model.identity import RECORD
from tests.publishing.making import make_artifact, place_in
from tests.publishing.servers import Faults, served

HANDLE = "example/bert/1"


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("verification")
    publish(saved_model=make_artifact(place / "it"), handle=HANDLE, to=[place / "hub"])
    return place / "hub"


@pytest.fixture
def hub(published: Path, tmp_path: Path) -> Path:
    shutil.copytree(published, tmp_path / "hub")
    return tmp_path / "hub"


def flip(path: Path, place: int = -1) -> None:
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(data)


def test_as_it_should_be(hub: Path) -> None:
    found = verify(source=str(hub / HANDLE))
    assert found.problems == () and found.validated and found.files == 11
    assert verify(source="example/bert", hub=str(hub)) == found
    with served(hub, Faults()) as url:
        assert verify(source=f"{url}/{HANDLE}").problems == ()


@pytest.mark.parametrize("name", [
    "README.md", "hubexport.json", "index.html", "SHA256SUMS", "model.tar",
])  # fmt: skip
def test_a_flipped_bit(name: str, hub: Path) -> None:
    flip(hub / HANDLE / name)
    problems = verify(source=str(hub / HANDLE)).problems
    assert problems and all(each.startswith(name) for each in problems)
    with served(hub, Faults()) as url:
        assert verify(source=f"{url}/{HANDLE}").problems == problems


@pytest.mark.parametrize("name", ["README.md", "hubexport.json", "index.html", "SHA256SUMS"])
def test_a_file_less(name: str, hub: Path) -> None:
    (hub / HANDLE / name).unlink()
    (problem,) = verify(source=str(hub / HANDLE)).problems
    assert problem.startswith(f"{name}: ")


def test_no_archive(hub: Path) -> None:
    (hub / HANDLE / "model.tar").unlink()
    with pytest.raises(HubexportError, match=r"model\.tar"):
        verify(source=str(hub / HANDLE))


def test_a_file_in_the_archive(hub: Path) -> None:
    archive = hub / HANDLE / "model.tar"
    flip(archive, archive.read_bytes().index(b"a program"))
    problems = verify(source=str(hub / HANDLE)).problems
    assert [each.partition(":")[0] for each in problems] == ["model.tar", "saved_model.pb"]


@pytest.mark.parametrize("where", [0, 300, 512, 100_000])
def test_an_archive_that_was_cut(where: int, hub: Path) -> None:
    """tensorflow_hub takes such archives where the cut is at a member's boundary or in a header."""
    archive = hub / HANDLE / "model.tar"
    data = archive.read_bytes()
    start = place_in(archive, "variables/variables.data-00000-of-00001")
    archive.write_bytes(data[: start + where])
    assert any(each.startswith("model.tar") for each in verify(source=str(hub / HANDLE)).problems)
    with served(hub, Faults()) as url:
        assert verify(source=f"{url}/{HANDLE}").problems


def rewrite(act: Callable[[dict[str, object]], object]) -> Callable[[Path], None]:
    """A manifest that agrees with SHA256SUMS, and says something else."""

    def done(place: Path) -> None:
        fields = json.loads((place / "manifest.json").read_text())
        act(fields)
        (place / "manifest.json").write_text(json.dumps(fields))
        manifest = read_manifest(place / "manifest.json")
        (place / "manifest.json").write_text(manifest.text())
        (place / "SHA256SUMS").write_text(manifest.sums())

    return done


LIES = {
    "validated": (
        lambda fields: fields.update(validated=False),
        "says not validated, which the record denies",
    ),
    "kind": (lambda fields: fields.update(kind="pipeline"), "says pipeline, the record encoder"),
    "no page": (lambda fields: fields["beside"].pop(1), "README.md: not in the manifest"),
    "files": (lambda fields: fields["files"].pop(), "not in the manifest"),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_manifest_that_lies(lie: str, hub: Path) -> None:
    act, said = LIES[lie]
    rewrite(act)(hub / HANDLE)
    assert any(said in each for each in verify(source=str(hub / HANDLE)).problems)


def test_an_artifact(tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "it")
    found = verify(source=str(artifact))
    assert found.problems == () and found.validated
    flip(artifact / "variables" / "variables.index")
    (problem,) = verify(source=str(artifact)).problems
    assert problem.startswith("variables/variables.index: SHA-256")
    (artifact / RECORD).unlink()
    with pytest.raises(HubexportError, match="no readable record"):
        verify(source=str(artifact))


def test_an_artifact_that_did_not_pass(tmp_path: Path) -> None:
    validation = [{"runtime": "pjrt", "device": "tpu", "passed": False}]
    artifact = make_artifact(tmp_path / "it", validation=validation)
    assert verify(source=str(artifact)).problems == ("validation on tpu by pjrt: did not pass",)


def test_the_command(hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["verify", str(hub / HANDLE)]) == 0
    assert "all as it should be" in capsys.readouterr().out
    flip(hub / HANDLE / "README.md")
    assert cli.run(["verify", HANDLE, f"--hub={hub}"]) == 1
    assert "differs    README.md: SHA-256" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["publish", "pull", "verify", "hub"])
def test_without_tensorflow(command: str, hub: Path, tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "artifact")
    argv = {
        "publish": [f"--saved_model={artifact}", "--handle=example/other/next", f"--to={hub}"],
        "pull": [HANDLE, f"--hub={hub}", f"--output={tmp_path / 'out'}"],
        "verify": [HANDLE, f"--hub={hub}"],
        "hub": ["check", str(hub)],
    }[command]
    program = (
        "import sys\nfrom hubexport import cli\n"
        "code = cli.run(sys.argv[1:])\n"
        "print([name for name in ('tensorflow', 'aiohttp', 'numpy.ma') if name in sys.modules])\n"
        "sys.exit(code)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, command, *argv], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"
