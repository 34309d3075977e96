"""WordPiece: `vocabulary` and `json` read files into a `model`, which `definition` describes, and
`graph` runs by tensorflow_text's kernels, with buffers of its own."""
