"""Artifacts on devices where JAX runs: lowered to StableHLO, run by PJRT, compared there."""
