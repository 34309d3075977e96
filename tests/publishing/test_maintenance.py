"""A hub that is kept: its index, its digests, old versions, retractions, and copies."""

from __future__ import annotations

import json
import os
import shutil
import time
from pathlib import Path

import pytest

from hubexport import cli
from hubexport.errors import HubexportError, UsageError
from hubexport.publishing.handle import parse_handle
from hubexport.publishing.maintenance import check, collect, mirror, rebuild_index, retract
from hubexport.publishing.publication import publish
from hubexport.publishing.target import LocalTarget
from hubexport.publishing.tree import open_tree
from tests.publishing.making import files_of, make_artifact
from tests.publishing.servers import Faults, served

DAY = 86400.0


def add(hub: Path, name: str, versions: int) -> None:
    for number in range(versions):
        artifact = make_artifact(hub.parent / f"{name}{number}", salt=f"{name}{number}".encode())
        publish(saved_model=artifact, handle=f"example/{name}/next", to=[hub])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three versions of a model and one of another."""
    hub = tmp_path_factory.mktemp("maintenance") / "hub"
    add(hub, "bert", 3)
    add(hub, "gpt", 1)
    return hub


@pytest.fixture
def hub(made: Path, tmp_path: Path) -> Path:
    shutil.copytree(made, tmp_path / "hub")
    return tmp_path / "hub"


def versions(hub: Path) -> dict[str, list[int]]:
    tree = open_tree(hub)
    found = {str(model): tree.versions(model) for model in tree.models()}
    index = json.loads((hub / "index.json").read_text())["models"]
    assert {each["handle"]: each["versions"] for each in index} == {
        name: numbers for name, numbers in found.items() if numbers
    }
    return found


def age(path: Path, seconds: float) -> None:
    moment = time.time() - seconds
    for each in (path, *path.rglob("*")):
        os.utime(each, (moment, moment))


def test_index(hub: Path) -> None:
    before = files_of(hub)
    for name in ("index.json", "index.html", "newest.map"):
        (hub / name).unlink()
    assert rebuild_index(hub) == 2
    assert files_of(hub) == before
    with pytest.raises(HubexportError, match="there is no hub"):
        rebuild_index(hub / "example")


def test_check(hub: Path) -> None:
    assert check(hub) == (4, [])
    data = bytearray((hub / "example/bert/2/model.tar").read_bytes())
    data[5000] ^= 1
    (hub / "example/bert/2/model.tar").write_bytes(data)
    (hub / "example/bert/3/manifest.json").write_text("{")
    (hub / "example/gpt/1/more.txt").write_text("x")
    (hub / "example/link").symlink_to("/etc")
    (hub / "index.json").write_text("{}")
    number, problems = check(hub)
    assert number == 4
    for said in (
        "example/bert/2: model.tar: SHA-256",
        "example/bert/3: the manifest is damaged",
        "example/gpt/1: more.txt: does not belong there",
        "example/link: a link",
        "index.json: not that of the manifests",
    ):
        assert [each for each in problems if each.startswith(said)], (said, problems)


def test_retract(hub: Path, tmp_path: Path) -> None:
    retract(hub, "example/bert/3", "wrong  vocabulary")
    assert versions(hub)["example/bert"] == [1, 2]
    assert json.loads((hub / "example/bert/3/retracted.json").read_text()) == {
        "handle": "example/bert/3",
        "reason": "wrong vocabulary",
    }
    assert check(hub) == (4, [])
    artifact = make_artifact(tmp_path / "new", salt=b"new")
    with pytest.raises(HubexportError, match=r"number is not given again(.|\n)*vocabulary"):
        publish(saved_model=artifact, handle="example/bert/3", to=[hub])
    (found,) = publish(saved_model=artifact, handle="example/bert/next", to=[hub])
    assert found.handle.version == 4


@pytest.mark.parametrize(("handle", "reason", "said"), [
    ("example/bert/9", "x", "no such version(.|\n)*1, 2, 3"),
    ("example/bert", "x", "has no version"),
    ("example/bert/1", " ", "has a reason"),
])  # fmt: skip
def test_not_retracted(handle: str, reason: str, said: str, hub: Path) -> None:
    before = files_of(hub)
    with pytest.raises(HubexportError, match=said):
        retract(hub, handle, reason)
    assert files_of(hub) == before


def test_collect(hub: Path) -> None:
    before = files_of(hub)
    found = collect(hub, keep=1, grace=DAY)
    assert [str(each) for each in found.retracted] == ["example/bert/1", "example/bert/2"]
    assert files_of(hub) == before  # a dry run
    collect(hub, keep=1, grace=DAY, dry_run=False)
    assert versions(hub) == {"example/bert": [3], "example/gpt": [1]}
    assert (hub / "example/bert/1/model.tar").is_file()  # within the grace
    age(hub / "example/bert/1", 2 * DAY)
    found = collect(hub, keep=1, grace=DAY, dry_run=False)
    assert not found.retracted
    assert {path.name for path in found.swept} == {
        "model.tar", "README.md", "hubexport.json", "index.html", "SHA256SUMS",
    }  # fmt: skip
    assert set(os.listdir(hub / "example/bert/1")) == {"manifest.json", "retracted.json"}
    assert (hub / "example/bert/2/model.tar").is_file()
    assert check(hub) == (4, [])
    assert not collect(hub, keep=1, grace=DAY).swept
    with pytest.raises(UsageError, match="keeps a version"):
        collect(hub, keep=0, grace=DAY)


def test_a_clock_that_is_a_day_off(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the time is, what can be had is never removed."""
    before = files_of(hub)
    age(hub, 30 * DAY)
    now = time.time()
    for off in (-DAY, DAY, 1000 * DAY):
        monkeypatch.setattr(time, "time", lambda off=off: now + off)
        collect(hub, keep=None, grace=0, dry_run=False)
        (found,) = publish(
            saved_model=make_artifact(hub.parent / "same", salt=b"gpt0"),
            handle="example/gpt/1",
            to=[hub],
        )
        assert found.state == "already published"
    assert files_of(hub) == before


def test_what_killed_publishers_left(hub: Path) -> None:
    for name in (".4.0123abcd.hubexport.partial", ".x.partial"):
        (hub / "example/bert" / name).mkdir()
        (hub / "example/bert" / name / "model.tar").write_bytes(b"half")
    (hub / ".index.json.0123.partial").write_bytes(b"half")
    assert not collect(hub, keep=None, grace=DAY, dry_run=False).swept
    for path in hub.rglob(".*partial"):
        age(path, 2 * DAY)
    assert len(collect(hub, keep=None, grace=DAY).swept) == 3
    collect(hub, keep=None, grace=DAY, dry_run=False)
    assert not list(hub.rglob(".*partial"))


def test_what_is_being_written_stays(hub: Path) -> None:
    with LocalTarget(hub).stage(parse_handle("example/bert/4")) as staged:
        with staged.put("model.tar") as file:
            file.write(b"a part")
        (partial,) = (hub / "example/bert").glob(".*")
        age(partial, 2 * DAY)
        collect(hub, keep=None, grace=DAY, dry_run=False)
        assert (partial / "model.tar").is_file()


def test_mirror(hub: Path, tmp_path: Path) -> None:
    retract(hub, "example/bert/2", "wrong vocabulary")
    copied, problems = mirror(hub, tmp_path / "copy")
    assert [str(each) for each in copied] == ["example/bert/1", "example/bert/3", "example/gpt/1"]
    assert not problems
    assert versions(tmp_path / "copy") == versions(hub)
    tree = open_tree(tmp_path / "copy")
    assert tree.retraction(parse_handle("example/bert/2")) == "wrong vocabulary"
    assert mirror(hub, tmp_path / "copy") == ([], [])
    assert check(tmp_path / "copy") == (4, [])
    with served(hub, Faults()) as url:
        copied, problems = mirror(url, tmp_path / "other")
    assert len(copied) == 3 and not problems
    assert files_of(tmp_path / "other/example/bert/3") == files_of(hub / "example/bert/3")


def test_mirror_of_a_damaged_hub(hub: Path, tmp_path: Path) -> None:
    with served(hub, Faults(flip=True)) as url:
        copied, problems = mirror(url, tmp_path / "copy")
    assert not copied and len(problems) == 4
    assert all("not what the manifest says (" in each and "model.tar" in each for each in problems)
    assert not (tmp_path / "copy" / "example").exists()


def test_mirror_to_another_hub(hub: Path, tmp_path: Path) -> None:
    publish(
        saved_model=make_artifact(tmp_path / "other", salt=b"other"),
        handle="example/bert/1",
        to=[tmp_path / "copy"],
    )
    copied, problems = mirror(hub, tmp_path / "copy")
    assert len(copied) == 3
    assert len(problems) == 1 and problems[0].startswith("example/bert/1: other bytes than in")


@pytest.mark.parametrize(("argv", "code", "said"), [
    (["index"], 0, "index    2 models"),
    (["check"], 0, "checked  4 versions, 0 problems"),
    (["gc", "--keep=1"], 0, "2 versions would be retracted, 0 bytes would be removed"),
    (["gc", "--keep=1", "--grace=1h", "--nodry_run"], 0, "2 versions retracted, 0 bytes removed"),
    (["gc", "--grace=soon"], 2, "--grace is a number and a unit"),
    (["retract", "--handle=example/bert/1", "--reason=old"], 0, "retracted  example/bert/1"),
    (["retract", "--handle=example/bert/1"], 2, "missing: --reason"),
    (["mirror"], 2, "missing: --to"),
    (["check", "--keep=1"], 2, "not for it: --keep"),
])  # fmt: skip
def test_the_command(
    argv: list[str], code: int, said: str, hub: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["hub", argv[0], str(hub), *argv[1:]]) == code
    printed = capsys.readouterr()
    assert said in printed.out + printed.err


def test_the_command_mirrors(hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["hub", "mirror", str(hub), f"--to={tmp_path / 'copy'}"]
    assert cli.run(argv) == 0
    assert "4 copied, 0 problems" in capsys.readouterr().out
    (tmp_path / "copy/example/gpt/1/model.tar").write_bytes(b"")
    assert cli.run(["hub", "check", str(tmp_path / "copy")]) == 1
