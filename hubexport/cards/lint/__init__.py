"""Checks of model pages without a network, before they are published.

Every checker gives the list of all its findings and never raises for what a page holds:

| function | what it checks |
|---|---|
| `check_page` | pages in the form of tfhub.dev: encoders, preprocessors, collections, publishers |
| `check_model_metadata`, `check_instance_metadata` | the metadata files of Kaggle Models |
| `check_card` | Hugging Face model cards |
| `check_links` | links, images and HTML of any page |
| `check_snippets`, `python_snippets` | the Python programs on any page |
"""

from hubexport.cards.lint.findings import Finding, errors
from hubexport.cards.lint.hugging_face import check_card
from hubexport.cards.lint.kaggle import check_instance_metadata, check_model_metadata
from hubexport.cards.lint.links import check_links
from hubexport.cards.lint.snippets import Snippet, check_snippets, python_snippets
from hubexport.cards.lint.tfhub_page import check_page

__all__ = [
    "Finding",
    "Snippet",
    "check_card",
    "check_instance_metadata",
    "check_links",
    "check_model_metadata",
    "check_page",
    "check_snippets",
    "errors",
    "python_snippets",
]
