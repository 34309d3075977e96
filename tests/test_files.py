"""Files that appear complete or not at all."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from hubexport.files import replaced


@pytest.mark.parametrize("umask", [0o022, 0o027, 0o077, 0o002])
def test_permissions_follow_the_umask(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with replaced(tmp_path / "new" / "file") as partial:
            partial.write_text("content")
    finally:
        os.umask(before)
    (file,) = (tmp_path / "new").iterdir()
    assert file.name == "file" and file.read_text() == "content"
    assert stat.S_IMODE(file.stat().st_mode) == 0o666 & ~umask


def test_a_failure_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("old")
    with pytest.raises(ZeroDivisionError), replaced(file) as partial:
        partial.write_text("half")
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == [file] and file.read_text() == "old"
