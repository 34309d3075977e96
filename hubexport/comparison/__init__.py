"""What differs between two artifacts: records, variables, graphs, files, outputs and pages."""
