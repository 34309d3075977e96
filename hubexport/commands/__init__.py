"""The commands: one module each, with HELP, EPILOG, add_arguments and run."""
