"""Programs that gates run in processes of their own; they import nothing of hubexport."""
