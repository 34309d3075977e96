"""Sentences whose masked word a trained masked language model finds.

Plain facts in simple words: each has little but one continuation, and the word is common enough to
be a single piece of most vocabularies of its language.
"""

from __future__ import annotations

MLM_SENTENCES: tuple[tuple[str, str, str], ...] = (
    ("en", "Paris is the capital of France.", "France"),
    ("en", "The sun rises in the east and sets in the west.", "east"),
    ("en", "She opened the door and went into the house.", "door"),
    ("en", "There are seven days in a week.", "days"),
    ("de", "Paris ist die Hauptstadt von Frankreich.", "Frankreich"),
    ("de", "Er wurde im Jahr 1950 in Berlin geboren.", "Jahr"),
    ("fr", "Paris est la capitale de la France.", "capitale"),
    ("fr", "La Seine est un fleuve qui traverse la ville de Paris.", "ville"),
    ("es", "Madrid es la capital de España.", "capital"),
    ("es", "El español es la lengua oficial de México.", "lengua"),
    ("it", "Roma è la capitale dell'Italia.", "capitale"),
    ("pt", "Lisboa é a capital de Portugal.", "capital"),
    ("nl", "Amsterdam is de hoofdstad van Nederland.", "hoofdstad"),
    ("pl", "Warszawa to stolica i największe miasto Polski.", "miasto"),
    ("tr", "Ankara, Türkiye'nin başkenti ve ikinci büyük şehridir.", "ikinci"),
    ("ru", "Москва является столицей России.", "России"),
    ("ar", "القاهرة هي عاصمة مصر.", "عاصمة"),
    ("hi", "दिल्ली भारत की राजधानी है।", "भारत"),
    ("zh", "北京是中国的首都。", "都"),
    ("ja", "東京は日本の首都です。", "首"),
)
"""(language code, sentence, word to mask); the word stands in the sentence exactly once."""
