"""Model families: one file each, found through `hubexport.families.registry`."""
