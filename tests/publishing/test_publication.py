"""Publishing: what is refused, what is written, and that a version never changes."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubexport import cli
from hubexport.errors import HubexportError, UsageError
from hubexport.publishing import target as targets
from hubexport.publishing.publication import ALREADY, PLANNED, PUBLISHED, Publication, publish
from hubexport.publishing.verification import verify
from hubexport.saved_model.identity import RECORD
from tests.publishing.making import files_of, make_artifact

HANDLE = "example/bert/1"


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return make_artifact(tmp_path / "artifact")


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    return tmp_path / "hub"


def published(artifact: Path, hub: Path, handle: str = HANDLE, **options: object) -> Publication:
    (found,) = publish(saved_model=artifact, handle=handle, to=[hub], **options)  # type: ignore[arg-type]
    return found


def seen(hub: Path) -> dict[str, bytes]:
    """What is on the hub, but for the lock."""
    return {name: data for name, data in files_of(hub).items() if name != ".lock"}


def test_the_tree(artifact: Path, hub: Path) -> None:
    found = published(artifact, hub)
    assert found.state == PUBLISHED and found.where == str(hub / HANDLE)
    names = {
        "README.md", "SHA256SUMS", "hubexport.json", "index.html", "manifest.json", "model.tar",
    }  # fmt: skip
    lists = {"hub.json", "index.html", "index.json", "newest.map"}
    assert set(seen(hub)) == {*lists, *(f"{HANDLE}/{name}" for name in names)}
    check = ["sha256sum", "--check", "--strict", "SHA256SUMS"]
    lines = subprocess.run(check, cwd=hub / HANDLE, capture_output=True, text=True).stdout
    assert lines.count(": OK") == len(names) - 1
    assert (hub / HANDLE / "hubexport.json").read_bytes() == (artifact / RECORD).read_bytes()
    (model,) = json.loads((hub / "index.json").read_text())["models"]
    assert (model["handle"], model["versions"]) == ("example/bert", [1])
    assert verify(source=str(hub / HANDLE)).problems == ()


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_permissions(umask: int, artifact: Path, hub: Path) -> None:
    """Those of the user's new files: a hub may be kept by a group."""
    before = os.umask(umask)
    try:
        published(artifact, hub)
    finally:
        os.umask(before)
    for path in (hub, *hub.rglob("*")):
        assert path.stat().st_mode & 0o777 == (0o777 if path.is_dir() else 0o666) & ~umask, path


def test_the_same_bytes_again(artifact: Path, hub: Path) -> None:
    published(artifact, hub)
    before = seen(hub)
    assert published(artifact, hub).state == ALREADY
    assert published(artifact, hub, "example/bert/next").state == ALREADY
    assert published(artifact, hub, "example/bert/next").handle.version == 1
    assert seen(hub) == before


def test_the_same_bytes_again_that_are_damaged(artifact: Path, hub: Path) -> None:
    """What is there is read, before it is said to be there."""
    published(artifact, hub)
    archive = hub / HANDLE / "model.tar"
    data = bytearray(archive.read_bytes())
    data[5000] ^= 1
    archive.write_bytes(data)
    for handle in (HANDLE, "example/bert/next"):
        with pytest.raises(HubexportError, match=r"published reads back as something(.|\n)*tar"):
            published(artifact, hub, handle)
    archive.unlink()
    with pytest.raises(HubexportError, match=r"cannot be read(.|\n)*model\.tar"):
        published(artifact, hub)


def test_a_directory_that_is_a_link(artifact: Path, hub: Path, tmp_path: Path) -> None:
    published(artifact, hub, "example/other/1")
    outside = tmp_path / "outside"
    outside.mkdir()
    (hub / "example" / "bert").symlink_to(outside)
    with pytest.raises(HubexportError, match=r"is a link(.|\n)*link: example/bert"):
        published(artifact, hub)
    assert not list(outside.iterdir())


def test_other_bytes(artifact: Path, hub: Path, tmp_path: Path) -> None:
    published(artifact, hub)
    before, other = seen(hub), make_artifact(tmp_path / "other", salt=b"!")
    with pytest.raises(HubexportError, match=r"never changed(.|\n)*saved_model.pb(.|\n)*/next"):
        published(other, hub)
    with pytest.raises(HubexportError, match="never changed"):
        published(artifact, hub, archive="tar.gz")
    assert seen(hub) == before
    assert published(other, hub, "example/bert/next").handle.version == 2
    assert published(artifact, hub, "example/bert/next").handle.version == 3


def test_several_hubs(artifact: Path, hub: Path, tmp_path: Path) -> None:
    published(artifact, hub)
    other = tmp_path / "other hub"
    found = publish(saved_model=artifact, handle="example/bert/next", to=[hub, other.as_uri()])
    states = [(each.state, each.handle.version) for each in found]
    assert states == [(ALREADY, 1), (PUBLISHED, 1)]
    assert files_of(other / HANDLE) == files_of(hub / HANDLE)


def test_another_publisher_is_faster(
    artifact: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At any moment between the choice of a number and its commit, `next` takes the one after."""
    other = make_artifact(tmp_path / "other", salt=b"!")
    for number, name in enumerate(("manifest", "stage")):
        call, handle = getattr(targets.LocalTarget, name), f"example/m{number}/next"

        def first(self: Any, *arguments: Any, call: Any = call, handle: str = handle) -> Any:
            monkeypatch.undo()
            assert published(other, hub, handle).handle.version == 1
            return call(self, *arguments)

        monkeypatch.setattr(targets.LocalTarget, name, first)
        assert published(artifact, hub, handle).handle.version == 2


def test_dry_run(artifact: Path, hub: Path) -> None:
    found = published(artifact, hub, dry_run=True)
    assert found.state == PLANNED and not hub.exists()
    assert published(artifact, hub).manifest == found.manifest
    assert published(artifact, hub, dry_run=True).state == ALREADY


def change(path: str) -> Callable[[Path], object]:
    return lambda artifact: (artifact / path).write_bytes(b"other")


CHANGES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a byte": (change("variables/variables.index"), "variables/variables.index: SHA-256"),
    "another file": (change("assets/more.txt"), "assets/more.txt: was not there"),
    "a file less": (lambda path: (path / "fingerprint.pb").unlink(), "fingerprint.pb: missing"),
    "the first": (
        lambda path: [change("saved_model.pb")(path), change("assets/vocab.txt")(path)],
        "first: assets/vocab.txt",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
def test_files_that_were_not_validated(what: str, artifact: Path, hub: Path) -> None:
    act, said = CHANGES[what]
    act(artifact)
    for options in ({}, {"allow_unvalidated": True}, {"dry_run": True}):
        with pytest.raises(HubexportError, match=f"not the ones that were validated(.|\n)*{said}"):
            published(artifact, hub, **options)
    assert not (hub / "example").exists()


FAILED = {"runtime": "pjrt", "device": "tpu", "passed": False, "files": {}}


@pytest.mark.parametrize(("validation", "said"), [
    ([], "the artifact was not validated"),
    ([FAILED], "did not pass"),
    ([{"runtime": "tensorflow", "device": "cpu", "passed": True}], "older release"),
])  # fmt: skip
def test_not_validated(validation: list[object], said: str, hub: Path, tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "it", validation=validation)
    with pytest.raises(HubexportError, match=said):
        published(artifact, hub)
    if validation != [FAILED]:  # whose files differ from what it saw
        assert not published(artifact, hub, allow_unvalidated=True).manifest.validated
        assert "Not validated" in (hub / HANDLE / "README.md").read_text()


def test_validated_by_some_gates(hub: Path, tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "it")
    record = json.loads((artifact / RECORD).read_text())
    (whole,) = record["validation"]
    part = {**whole, "gates": [{"name": "integrity"}, {"name": "numerics [float32]"}]}
    for validation, said in ([part], "interface, batch"), ([part, whole], ""):
        record["validation"] = validation
        (artifact / RECORD).write_text(json.dumps(record))
        if said:
            with pytest.raises(HubexportError, match=f"some gates only(.|\n)*nothing of {said}"):
                published(artifact, hub)
            assert not published(artifact, hub, allow_unvalidated=True).manifest.validated
        else:
            assert published(artifact, hub, "example/bert/next").manifest.validated
    assert verify(source=str(hub / "example/bert/2")).problems == ()


def test_tested_at_export(hub: Path, tmp_path: Path) -> None:
    artifact = make_artifact(tmp_path / "it", validation=[])
    fields = json.loads((artifact / RECORD).read_text())
    files = json.loads((make_artifact(tmp_path / "other") / RECORD).read_text())["validation"]
    fields["self_test"] = {"files": files[0]["files"]}
    (artifact / RECORD).write_text(json.dumps(fields))
    assert published(artifact, hub).manifest.validated


@pytest.mark.parametrize("handle", [
    "bert/1", "example/bert", "example/bert/latest", "../x/1", "example/bert/0", "Example/bert/1",
])  # fmt: skip
def test_handles(handle: str, artifact: Path, hub: Path) -> None:
    with pytest.raises(UsageError):
        published(artifact, hub, handle)
    assert not hub.exists()


def test_no_record(artifact: Path, hub: Path) -> None:
    (artifact / RECORD).unlink()
    with pytest.raises(HubexportError, match="no readable record"):
        published(artifact, hub)


def test_a_directory_that_is_no_hub(artifact: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "letter.txt").write_text("Dear")
    with pytest.raises(HubexportError, match="there is no hub"):
        published(artifact, tmp_path / "home")
    assert files_of(tmp_path / "home") == {"letter.txt": b"Dear"}


def test_another_format(artifact: Path, hub: Path) -> None:
    hub.mkdir()
    (hub / "hub.json").write_text('{"format": 2}')
    with pytest.raises(HubexportError, match="another format"):
        published(artifact, hub)


@pytest.mark.parametrize("to", ["s3://bucket/hub", "http://127.0.0.1/hub", "file://host/hub"])
def test_addresses(to: str, artifact: Path) -> None:
    with pytest.raises(UsageError, match="not one to publish to"):
        publish(saved_model=artifact, handle=HANDLE, to=[to])


def test_a_place_that_is_a_link(artifact: Path, hub: Path, tmp_path: Path) -> None:
    """Nothing is taken for published that lies outside."""
    published(artifact, hub)
    outside = tmp_path / "outside"
    (hub / HANDLE).rename(outside)
    (hub / HANDLE).symlink_to(outside)
    with pytest.raises(HubexportError):
        published(artifact, hub)
    assert (hub / HANDLE).is_symlink()
    assert published(artifact, hub, "example/bert/next").handle.version == 2


def test_markdown_for_a_page(artifact: Path, hub: Path, tmp_path: Path) -> None:
    text = tmp_path / "page.md"
    text.write_text("# Our BERT\n\nIt is <script>alert(1)</script> good.\n")
    published(artifact, hub, card=[text])
    assert (hub / HANDLE / "README.md").read_text().startswith("# Our BERT\n")
    assert "<script>alert" not in (hub / HANDLE / "index.html").read_text()
    with pytest.raises(UsageError, match="one model card"):
        published(artifact, hub, card=[text, tmp_path / "x.txt"])


def test_what_reads_back_as_something_else(
    artifact: Path, hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forget(self: object, name: str) -> object:
        return iter([b"what the disk made of it"])

    monkeypatch.setattr(targets.LocalStaged, "read_back", forget)
    with pytest.raises(HubexportError, match=r"reads back as something else(.|\n)*model.tar"):
        published(artifact, hub)
    assert not (hub / "example").exists()


def test_the_command(artifact: Path, hub: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["publish", f"--saved_model={artifact}", f"--handle={HANDLE}", f"--to={hub}"]
    assert cli.run(argv) == 0
    assert f"published          {HANDLE}: {hub / HANDLE}" in capsys.readouterr().out
    assert cli.run(argv) == 0
    assert capsys.readouterr().out.startswith("already published")
    (artifact / "fingerprint.pb").unlink()
    assert cli.run(argv) == 1
    assert "first: fingerprint.pb: missing" in capsys.readouterr().err
