"""Encoders validated on devices where JAX runs, by `python -m hubexport.validation.pjrt DIR`.

Begin with `job`, which writes a bundle here and has it run; `bundle` writes, `run` judges.
`hubexport.stablehlo` makes and runs the programs.
"""
