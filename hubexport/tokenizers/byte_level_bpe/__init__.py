"""Byte-level BPE, of GPT-2 and RoBERTa; begin at `definition`."""
