"""The tokenizers of published TF-Hub preprocessors; begin at `definition`."""
