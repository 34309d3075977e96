"""Pages of cards and records. Begin with `job`, where `hubexport.render_page` is; `formats` has the
platforms' files, `pages` their common text, `facts` what the templates read."""
