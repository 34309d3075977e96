"""Encoders as StableHLO programs: lowered by TensorFlow, kept in bundles, run by JAX's PJRT client.

Begin with `lowering.lower`, which makes a program, and `loading.LoadedBundle`, which runs those of
a directory that `manifest` describes. All but `lowering` need numpy, and JAX, alone.
"""
