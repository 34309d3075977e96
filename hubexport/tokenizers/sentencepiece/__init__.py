"""SentencePiece: `model` and `json` read files; `definition` has the families that use them, run as
the library does or, by the tables of `per_word`, as Hugging Face's tokenizers do."""
