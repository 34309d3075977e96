"""Publishers that are killed, that compete, and that run out of room: nothing is half published."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.publishing.making import files_of, make_artifact

ROOT = Path(__file__).parents[2]


def run(code: str, *arguments: object) -> list[dict[str, object]]:
    """Lines of JSON that a program prints; it may fork, as it has no threads."""
    preamble = """
        import json, os, resource, shutil, signal, sys, tempfile
        from pathlib import Path
        from hubexport.errors import HubexportError
        from hubexport.publishing import publication, target
        from hubexport.publishing.publication import publish
        from hubexport.publishing.verification import verify
        from hubexport.publishing.tree import open_tree

        def say(**fields):
            os.write(1, (json.dumps(fields) + "\\n").encode())  # at once: others write, too

        def child(act):
            pid = os.fork()
            if pid:
                return pid
            try:
                act()
                os._exit(0)
            except HubexportError as error:
                say(error=str(error))
                os._exit(1)
            except BaseException as error:
                say(unexpected=repr(error))
                os._exit(2)

        def status(pid):
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

        def versions(hub):
            if not (hub / "hub.json").exists():
                return []
            tree = open_tree(hub)
            return [f"{model}/{each}" for model in tree.models() for each in tree.versions(model)]

        def problems(hub):
            found = [verify(source=str(hub / name)).problems for name in versions(hub)]
            return [each for problems in found for each in problems]

        # What is imported and compiled now is so in all children.
        with tempfile.TemporaryDirectory() as first:
            publish(saved_model=sys.argv[1], handle="example/warm/1", to=[first])
    """
    program = textwrap.dedent(preamble) + textwrap.dedent(code)
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)],
        capture_output=True, text=True, timeout=300, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


KILLED = """
    artifact, hub, handle = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]

    def killed_at(number):
        steps = 0
        def step(call):
            def counted(*arguments, **options):
                nonlocal steps
                steps += 1
                if steps == number:
                    os.kill(os.getpid(), signal.SIGKILL)
                return call(*arguments, **options)
            return counted
        for module, names in ((os, ("rename", "replace", "fsync", "mkdir", "open", "chmod")),):
            for name in names:
                setattr(module, name, step(getattr(module, name)))
        for name in ("put", "read_back", "commit"):
            setattr(target.LocalStaged, name, step(getattr(target.LocalStaged, name)))
        publish(saved_model=artifact, handle=handle, to=[hub])

    number = 1
    while True:
        code = status(child(lambda: killed_at(number)))
        seen = versions(hub)
        wrong = problems(hub)
        (again,) = publish(saved_model=artifact, handle=handle, to=[hub])
        index = json.loads((hub / "index.json").read_text())["models"]
        say(
            code=code, seen=seen, wrong=wrong, state=again.state, version=again.handle.version,
            index=[each["versions"] for each in index],
            left=[path.name for path in hub.rglob(".*") if path.name != ".lock"],
        )
        if code == 0:
            break
        shutil.rmtree(hub)
        number += 1
"""


@pytest.mark.parametrize("version", ["1", "next"])
def test_killed_at_every_step(version: str, tmp_path: Path) -> None:
    artifact, hub = make_artifact(tmp_path / "artifact"), tmp_path / "hub"
    found = run(KILLED, artifact, hub, f"example/bert/{version}")
    assert len(found) > 30 and all(each["code"] == -signal.SIGKILL for each in found[:-1])
    for each in found:
        assert not each["wrong"] and each["seen"] in ([], ["example/bert/1"])
        # Whether it was done before the kill or not, the next run finds or makes it.
        wanted = "already published" if each["seen"] else "published"
        assert (each["state"], each["version"], each["index"]) == (wanted, 1, [[1]])
        # Small files that were being written stay, hidden; versions do not.
        assert not [name for name in each["left"] if ".hubexport." in name or name == "1"]  # type: ignore[attr-defined]
    assert {each["state"] for each in found} == {"already published", "published"}


COMPETING = """
    one, other, hub, version = Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4]
    for number in range(20):
        ready, go = os.pipe()
        def act(artifact):
            os.close(go)
            os.read(ready, 1)  # both begin when the pipe is closed
            found = publish(
                saved_model=artifact, handle=f"example/m{number}/{version}", to=[hub],
            )
            say(round=number, version=found[0].handle.version)
        pids = [child(lambda: act(artifact)) for artifact in (one, other)]
        os.close(ready), os.close(go)
        codes = sorted(map(status, pids))
        there = [name for name in versions(hub) if f"/m{number}/" in name]
        say(codes=codes, versions=there)
    say(wrong=problems(hub))
    index = json.loads((hub / "index.json").read_text())["models"]
    say(index=sum(len(each["versions"]) for each in index))
"""


@pytest.mark.parametrize("version", ["1", "next"])
def test_two_publishers(version: str, tmp_path: Path) -> None:
    one, other = make_artifact(tmp_path / "a"), make_artifact(tmp_path / "b", salt=b"!")
    found = run(COMPETING, one, other, tmp_path / "hub", version)
    rounds = [each for each in found if "codes" in each]
    failed = [
        each for each in found if "unexpected" in each or ("error" in each and version != "1")
    ]
    assert not failed and found[-2] == {"wrong": []}
    both = version == "next"
    assert rounds == [
        {
            "codes": [0, 0 if both else 1],
            "versions": [f"example/m{number}/{each}" for each in ((1, 2) if both else (1,))],
        }
        for number in range(20)
    ]
    if not both:
        errors = [str(each["error"]) for each in found if "error" in each]
        assert len(errors) == 20 and all("never changed" in error for error in errors)
    assert found[-1] == {"index": 40 if version == "next" else 20}
    assert not list((tmp_path / "hub").rglob(".*.partial"))


FULL = """
    artifact, hub, limit = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    try:
        publish(saved_model=artifact, handle="example/bert/1", to=[hub])
    except HubexportError as error:
        say(error=str(error))
"""


@pytest.mark.parametrize("limit", [5, 100, 20_000, 1_000_000])
def test_no_room(limit: int, tmp_path: Path) -> None:
    artifact, hub = make_artifact(tmp_path / "artifact"), tmp_path / "hub"
    (found,) = run(FULL, artifact, hub, limit)
    assert "the hub cannot be written" in str(found["error"]) and "File too large" in str(found)
    assert set(files_of(hub)) <= {"hub.json"}
    assert not (hub / "example").exists()


def test_a_full_file_system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubexport.errors import HubexportError
    from hubexport.publishing.publication import publish

    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    artifact = make_artifact(tmp_path / "artifact")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(HubexportError, match=r"cannot be written(.|\n)*No space left(.|\n)*free: "):
        publish(saved_model=artifact, handle="example/bert/1", to=[tmp_path / "hub"])
    assert not (tmp_path / "hub" / "example").exists()
