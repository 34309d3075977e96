"""The catalogue as a static site: pages that open from a directory, without any server.

`rendering.render_site` makes it; `views` has a function for each kind of page.
"""
