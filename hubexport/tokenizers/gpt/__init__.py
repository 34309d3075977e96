"""The BPE of OpenAI GPT; begin at `definition`."""
