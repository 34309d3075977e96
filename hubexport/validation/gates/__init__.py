"""The gates, in the order in which they are reported.

Each is a module with `run(context) -> GateResult`, which raises nothing but our own mistakes, and:

- `NAME`, `SUMMARY`: for reports and for help.
- `NEEDS`: what it looks at: "encoder", "preprocessor" or both.
- `LOADED`: whether the encoder is loaded before it runs; without, it loads none, or does so when
  other processes have released theirs.
- `APART`: whether it runs in a process of its own, as it takes much memory beside the model.
- `EACH_PRECISION`: whether it runs once for each precision of the device, as it compares numbers
  with a reference's.
"""

from types import ModuleType

from hubexport.validation.gates import (
    batch,
    causality,
    determinism,
    end_to_end,
    integrity,
    interface,
    mlm_sanity,
    numerics,
    portability,
    preprocessor_ids,
    preprocessor_interface,
    training,
    training_step,
)

GATES: tuple[ModuleType, ...] = (
    integrity,
    interface,
    numerics,
    batch,
    causality,
    determinism,
    mlm_sanity,
    portability,
    preprocessor_interface,
    preprocessor_ids,
    end_to_end,
    training,
    training_step,  # leaves the loaded encoder changed
)
NAMES: tuple[str, ...] = tuple(gate.NAME for gate in GATES)
