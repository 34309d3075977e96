"""XLM's tokenizer, Moses' rules and BPE; begin at `definition`."""
