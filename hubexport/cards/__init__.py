"""Model cards: what people know of published models, and the pages made of it and the record.

Begin with `rendering.job`: `render_page` and `render_tree` make pages of cards and artifacts.

| module | what it does |
|---|---|
| `loading` | reads cards, by the steps `nodes`, `expansion` and `reading` |
| `schema`, `parts` | cards as dataclasses; `fields`, `allowed` and `phrases` have their words |
| `agreement` | `check_agreement`: whether an artifact is the model that its card speaks of |
| `rendering` | pages for tfhub.dev, Kaggle and Hugging Face: `formats.FORMATS` |
| `site` | the catalogue as a static site: `rendering.render_site` |
| `lint` | what the platforms ask of a page: `check_page` and others |
"""
