"""A vocabulary and merges, in two files or in one."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from hubexport.tokenizers.bpe.merges import Merge, read_merges
from hubexport.tokenizers.bpe.vocabulary import pieces_by_id, read_vocabulary


class BPEFiles(NamedTuple):
    """What the files of a byte pair encoding say.

    Attributes:
      vocabulary: the model's own piece -> id.
      pieces: in the order of their ids; added tokens fill gaps of the vocabulary.
      merges: the first one counts most.
      files: what was read, the vocabulary first.
    """

    vocabulary: dict[str, int]
    pieces: tuple[str, ...]
    merges: tuple[Merge, ...]
    files: tuple[Path, ...]


def read_bpe(vocab_file: str | Path, merges_file: str | Path) -> BPEFiles:
    """Reads `vocab.json` and `merges.txt`, or `encoder.json` and `vocab.bpe`.

    Raises:
      VocabularyError: a file cannot be read, or is not of that form.
    """
    files = Path(vocab_file), Path(merges_file)
    vocabulary = read_vocabulary(files[0])
    pieces = pieces_by_id(vocabulary, str(files[0]))
    return BPEFiles(vocabulary, pieces, read_merges(files[1]), files)
