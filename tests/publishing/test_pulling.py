"""Pulling: cut downloads go on, and what is not as the manifest says never arrives."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubexport import cli
from hubexport.errors import ExportPathError, HubexportError, UsageError
from hubexport.publishing import pulling
from hubexport.publishing.maintenance import retract
from hubexport.publishing.publication import publish
from hubexport.publishing.pulling import fetched, pull
from tests.publishing.making import files_of, make_artifact, place_in
from tests.publishing.servers import Faults, served
from tests.serving.hub.servers import ours

ROOT = Path(__file__).parents[2]
HANDLE = "example/bert/1"
URL = "http://127.0.0.1:9/example/bert/1"  # nobody listens there


@pytest.fixture
def artifact(tmp_path: Path) -> Path:
    return make_artifact(tmp_path / "artifact")


@pytest.fixture
def hub(artifact: Path, tmp_path: Path) -> Path:
    publish(saved_model=artifact, handle=HANDLE, to=[tmp_path / "hub"])
    return tmp_path / "hub"


def test_from_a_server(artifact: Path, hub: Path, tmp_path: Path) -> None:
    with served(hub, Faults()) as url:
        for number, source in enumerate((f"{url}/{HANDLE}", f"{url}/example/bert")):
            found = pull(source=source, output=tmp_path / str(number))
            assert not found.was_there and found.manifest.validated
            assert files_of(found.directory) == files_of(artifact)
            assert pull(source=source, output=tmp_path / str(number)).was_there
        found = pull(source="example/bert", hub=url, output=tmp_path / "by handle")
        assert files_of(found.directory) == files_of(artifact)
    assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("source", [HANDLE, "example/bert"])
def test_from_a_directory(source: str, artifact: Path, hub: Path, tmp_path: Path) -> None:
    for address in (str(hub), hub.as_uri()):
        found = pull(source=source, hub=address, output=tmp_path / "out", overwrite=True)
        assert files_of(found.directory) == files_of(artifact)
    assert pull(source=str(hub / HANDLE), output=tmp_path / "out").was_there


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_is_cut(ranges: bool, artifact: Path, hub: Path, tmp_path: Path) -> None:
    """In one run as often as it brings something on; without ranges it never ends."""
    faults = Faults(cut_after=100_000, ranges=ranges)
    with served(hub, faults) as url:
        if not ranges:
            with pytest.raises(HubexportError, match=r"less than the archive|stopped while"):
                pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
            assert not (tmp_path / "out").exists()
            faults.cut_after = None  # the next run begins again
        found = pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
    assert files_of(found.directory) == files_of(artifact)
    if ranges:
        starts = [each for path, each in faults.asked if path.endswith("model.tar")]
        size = found.manifest.archive.bytes
        assert starts == [None, *(f"bytes={n}-" for n in range(100_000, size, 100_000))]


def test_another_run_goes_on(artifact: Path, hub: Path, tmp_path: Path) -> None:
    """Killed in the midst of a download, by a signal that leaves no time for anything."""
    size = (hub / HANDLE / "model.tar").stat().st_size
    program = (
        "import os, signal, sys\nfrom hubexport.publishing import pulling\n"
        "append = pulling._append\n"
        "def kill(place, entry, file, size, advance):\n"
        "    def count(n, done=[0]):\n"
        "        file.flush()\n"
        "        done[0] += n\n"
        "        if done[0] >= 300_000: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    append(place, entry, file, size, count)\n"
        "pulling._append, pulling._PIECE = kill, 100_000\n"
        "pulling.pull(source=sys.argv[1], output=sys.argv[2])\n"
    )
    faults = Faults()
    with served(hub, faults) as url:
        arguments = [sys.executable, "-c", program, f"{url}/{HANDLE}", str(tmp_path / "out")]
        done = subprocess.run(arguments, env={**os.environ, "PYTHONPATH": str(ROOT)}, timeout=60)
        assert done.returncode == -signal.SIGKILL
        assert not (tmp_path / "out").exists()
        (partial,) = tmp_path.glob(".out.*.download")
        assert 300_000 <= partial.stat().st_size < size
        faults.asked.clear()
        found = pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
    assert files_of(found.directory) == files_of(artifact)
    assert ("/example/bert/1/model.tar", "bytes=300000-") in faults.asked
    assert not list(tmp_path.glob(".*"))


def test_a_server_that_is_killed(
    artifact: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In the midst of a download; another at the same address is asked for the rest."""
    append, killed = pulling._append, []

    def kill(place: Any, entry: Any, file: Any, size: int, advance: Any) -> None:
        def count(number: int) -> None:
            file.flush()
            if not killed and file.tell() >= 300_000:
                killed.append(file.tell())
                assert server.stop(signal.SIGKILL) == -signal.SIGKILL

        append(place, entry, file, size, count)

    monkeypatch.setattr(pulling, "_append", kill)
    monkeypatch.setattr(pulling, "_PIECE", 100_000)
    big = make_artifact(tmp_path / "big", padding=64 << 20)
    publish(saved_model=big, handle="example/big/1", to=[hub])
    with ours(hub, tmp_path / "said") as server:
        with pytest.raises(HubexportError, match=r"server (does not answer|stopped)"):
            pull(source=f"{server.url}/example/big/1", output=tmp_path / "out")
    assert killed and not (tmp_path / "out").exists()
    (partial,) = tmp_path.glob(".out.*.download")
    size = partial.stat().st_size
    log = tmp_path / "log"
    with ours(hub, tmp_path / "said", f"--access_log={log}") as again:
        found = pull(source=f"{again.url}/example/big/1", output=tmp_path / "out")
        assert again.stop() == 0
    assert files_of(found.directory) == files_of(big)
    assert " 206 " in log.read_text() and size >= 300_000


def test_a_flipped_byte(artifact: Path, hub: Path, tmp_path: Path) -> None:
    faults = Faults(flip=True)
    with served(hub, faults) as url:
        with pytest.raises(HubexportError, match=r"not what the manifest says(.|\n)*SHA-256"):
            pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
        assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))
        faults.flip = False
        pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
    assert files_of(tmp_path / "out") == files_of(artifact)


def test_a_cut_archive_on_the_hub(hub: Path, tmp_path: Path) -> None:
    """At a member's boundary, within a header, and within a member."""
    archive = hub / HANDLE / "model.tar"
    whole = archive.read_bytes()
    boundary = place_in(archive, "variables/variables.index")
    for end in (boundary, boundary + 300, len(whole) // 2):
        archive.write_bytes(whole[:end])
        for source in (str(hub / HANDLE),):
            with pytest.raises(HubexportError, match="less than the archive"):
                pull(source=source, output=tmp_path / "out")
        with served(hub, Faults()) as url:
            with pytest.raises(HubexportError, match="less than the archive"):
                pull(source=f"{url}/{HANDLE}", output=tmp_path / "out")
        assert not (tmp_path / "out").exists()


def test_a_target_with_something_else(hub: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "letter.txt").write_text("Dear")
    with pytest.raises(ExportPathError):
        pull(source=str(hub / HANDLE), output=tmp_path / "out")
    assert files_of(tmp_path / "out") == {"letter.txt": b"Dear"}
    assert not pull(source=str(hub / HANDLE), output=tmp_path / "out", overwrite=True).was_there


def test_a_digest_that_is_known(hub: Path, tmp_path: Path) -> None:
    digest = hashlib.sha256((hub / HANDLE / "model.tar").read_bytes()).hexdigest()
    pull(source=str(hub / HANDLE), output=tmp_path / "out", sha256=digest.upper())
    with pytest.raises(HubexportError, match="not the one that was asked for"):
        pull(source=str(hub / HANDLE), output=tmp_path / "other", sha256="0" * 64)


def test_into_the_cache(
    artifact: Path, hub: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "cache"))
    with served(hub, Faults()) as url:
        for source in (f"{url}/{HANDLE}", f"{url}/example/bert"):
            found = pull(source=source, into_cache=True)
            name = hashlib.sha1(source.encode()).hexdigest()
            assert found.directory == tmp_path / "cache" / name
            assert files_of(found.directory) == files_of(artifact)
            assert source in (tmp_path / "cache" / f"{name}.descriptor.txt").read_text()
        # What tensorflow_hub has kept of an archive that was cut off is found and replaced.
        (found.directory / "variables" / "variables.index").unlink()
        with pytest.raises(ExportPathError, match="--overwrite"):
            pull(source=source, into_cache=True)
        assert not pull(source=source, into_cache=True, overwrite=True).was_there
        assert pull(source=source, into_cache=True).was_there
    with pytest.raises(UsageError, match="cache is for URLs"):
        pull(source=str(hub / HANDLE), into_cache=True)


@pytest.mark.parametrize(("source", "error", "said"), [
    (URL, HubexportError, "does not answer"),
    (f"{URL}?tf-hub-format=compressed", UsageError, "neither a query"),
    (HANDLE, UsageError, "--hub"),
    ("no handle", UsageError, "--hub"),
])  # fmt: skip
def test_nothing_there(source: str, error: type[HubexportError], said: str, tmp_path: Path) -> None:
    with pytest.raises(error, match=said):
        pull(source=source, output=tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_versions_that_are_not_there(hub: Path, tmp_path: Path) -> None:
    for source in ("example/bert/2", "example/other"):
        with pytest.raises(HubexportError, match="no such version"):
            pull(source=source, hub=str(hub), output=tmp_path / "out")
    with served(hub, Faults()) as url:
        with pytest.raises(HubexportError, match="no such model"):
            pull(source=f"{url}/example/other", output=tmp_path / "out")
        with pytest.raises(HubexportError, match=r"does not have the file(.|\n)*404"):
            pull(source=f"{url}/example/bert/2", output=tmp_path / "out")
    retract(hub, HANDLE, "wrong vocabulary")
    with pytest.raises(HubexportError, match=r"was retracted(.|\n)*wrong vocabulary"):
        pull(source=HANDLE, hub=str(hub), output=tmp_path / "out")


def test_a_manifest_of_another(hub: Path, tmp_path: Path) -> None:
    (hub / HANDLE).rename(hub / "example/bert/2")
    with pytest.raises(HubexportError, match="of another version"):
        pull(source="example/bert/2", hub=str(hub), output=tmp_path / "out")


def test_two_at_once(hub: Path, tmp_path: Path) -> None:
    import fcntl

    digest = hashlib.sha256((hub / HANDLE / "model.tar").read_bytes()).hexdigest()
    with open(tmp_path / f".out.{digest[:16]}.download", "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(HubexportError, match="another process is pulling"):
            pull(source=str(hub / HANDLE), output=tmp_path / "out")
        assert Path(file.name).exists()
    (hub / HANDLE / "model.tar").unlink()
    with pytest.raises(HubexportError, match=r"cannot be read(.|\n)*model\.tar"):
        pull(source=str(hub / HANDLE), output=tmp_path / "out")
    assert not list(tmp_path.glob(".out.*"))


def test_for_a_while(artifact: Path, hub: Path) -> None:
    with fetched(str(artifact)) as directory:
        assert directory == artifact
    with fetched("example/bert", str(hub)) as directory:
        assert files_of(directory) == files_of(artifact)
    assert not directory.exists()


def test_the_command(
    artifact: Path, hub: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["pull", HANDLE, f"--hub={hub}", f"--output={tmp_path / 'out'}"]
    assert cli.run(argv) == 0
    assert capsys.readouterr().out.startswith("pulled ")
    assert cli.run(argv) == 0
    assert capsys.readouterr().out.startswith("already there ")
    assert files_of(tmp_path / "out") == files_of(artifact)
    assert cli.run(["pull", HANDLE, f"--hub={hub}"]) == 2
