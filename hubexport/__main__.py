"""`python -m hubexport`."""

from hubexport.cli import main

main()
