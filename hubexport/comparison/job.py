"""`hubexport.compare`: from two artifacts to what differs."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

from hubexport.comparison.assets import asset_changes
from hubexport.comparison.configuration import configuration_changes
from hubexport.comparison.outputs import Outputs, compare_outputs
from hubexport.comparison.page import PAGE, find_page, page_changes
from hubexport.comparison.program import program_changes
from hubexport.comparison.result import Comparison
from hubexport.comparison.variables import compare_variables, total_bytes
from hubexport.errors import HubexportError
from hubexport.paths import PathLike
from hubexport.progress import bytes_bar, steps_bar
from hubexport.publishing.places import directory_of, is_url, locate, read_text
from hubexport.publishing.pulling import fetched
from hubexport.publishing.tree import MANIFEST
from hubexport.saved_model.reading import is_saved_model, read_saved_model
from hubexport.saved_model.record import find_record
from hubexport.validation.reference_file import read_reference


def compare(
    a: PathLike,
    b: PathLike,
    *,
    reference: PathLike | None = None,
    hub: str | None = None,
    trust_checksums: bool = False,
    show_progress: bool = False,
) -> Comparison:
    """Compares two artifacts: encoders, preprocessors, pipelines, or anybody's SavedModels.

    TensorFlow is imported only with a reference, in processes of their own.

    Args:
      a: the one that came before: a directory, the URL of a published version or model, or a
        handle of one on `hub`. What is published is downloaded for the time being, and checked.
      b: the other, likewise.
      reference: a file of `make_reference`, on whose inputs both are run.
      hub: URL or directory of the hub, for handles.
      trust_checksums: whether variables whose indexes have equal checksums are equal; their values
        are not read then.
      show_progress: whether bars are shown, on a terminal.

    Returns:
      The comparison; `is_equal` says whether nothing differs, `record()` has everything for JSON.

    Raises:
      HubexportError: an artifact or the reference cannot be read, or not be run.
    """
    made_by = None if reference is None else read_reference(Path(reference)).provenance.made_by
    with ExitStack() as stack:
        one, other = (
            stack.enter_context(_located(each, hub, show_progress=show_progress)) for each in (a, b)
        )
        ours, theirs = read_saved_model(one.directory), read_saved_model(other.directory)
        records = find_record(one.directory), find_record(other.directory)
        configuration, key_report = configuration_changes(*records)
        with bytes_bar("variables", total_bytes(theirs), show=show_progress) as advance:
            variables = compare_variables(
                ours, theirs, trust_checksums=trust_checksums, progress=advance
            )
        outputs: Outputs | None = None
        if reference is not None and made_by is not None:
            with steps_bar("outputs", 2, show=show_progress) as done:
                outputs = compare_outputs(
                    one.directory, other.directory, Path(reference), made_by, done
                )
        return Comparison(
            a=str(a),
            b=str(b),
            configuration=configuration,
            key_report=key_report,
            variables=variables,
            program=program_changes(ours, theirs),
            assets=asset_changes(one.directory, other.directory),
            outputs=outputs,
            page=page_changes(one.page, other.page),
            notes=(
                *(() if any(records) else ("neither has a record",)),
                *variables.notes,
                *(outputs.notes if outputs else ()),
                *_about_pages(one, other),
            ),
        )


@dataclasses.dataclass(frozen=True)
class _Located:
    """Where an artifact lies: its directory, and the text of its page if it has one."""

    directory: Path
    page: str | None


@contextlib.contextmanager
def _located(source: PathLike, hub: str | None, *, show_progress: bool) -> Iterator[_Located]:
    """An artifact, as long as it is needed.

    Raises:
      HubexportError: there is no SavedModel.
    """
    if is_saved_model(Path(source)):
        yield _Located(Path(source), find_page(Path(source)))
        return
    address = str(source)
    if hub is None and not is_url(address) and not (directory_of(address) / MANIFEST).is_file():
        raise HubexportError(
            "there is no SavedModel",
            [("looked in", address), ("found", _found(Path(source)))],
            "pass a directory that holds saved_model.pb, the URL of a published version, or "
            "its handle and --hub.",
        )
    page = read_text(locate(address, hub), PAGE).decode("utf-8", "replace")
    with fetched(address, hub, show_progress=show_progress) as directory:
        yield _Located(directory, page)


def _found(path: Path) -> str:
    if not path.exists():
        return "nothing"
    return "a directory without saved_model.pb" if path.is_dir() else "a file"


def _about_pages(a: _Located, b: _Located) -> list[str]:
    if (a.page is None) == (b.page is None):
        return []
    return [f"only {'b' if a.page is None else 'a'} has a page, so that none was compared"]
