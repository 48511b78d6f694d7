"""How data sets call the column of a role: by its name alone two columns of one type are told apart."""

from __future__ import annotations

import re
from functools import cache

# Codes and names of the languages that sets of translations name their columns by.
_CODES = (
    "en de fr es it pt nl ru zh ja ko ar hi tr pl sv da fi no cs el he hu ro uk vi id th fa bn ur sw ca bg hr sk sl et "
    "lv lt is ga gl eu af sq sr mk english german french spanish italian portuguese dutch russian chinese japanese "
    "korean arabic hindi turkish polish swedish danish finnish norwegian czech greek hebrew hungarian romanian "
    "ukrainian vietnamese persian"
)
LANGUAGES = frozenset(_CODES.split())
# Role -> the usual names of its column, the likeliest first.
_USUAL = {
    "text": (
        "text sentence transcript transcription review document content body message caption comment tweet description "
        "utterance post email sms question premise sentence1 question1 sentence_1 s1 text1 text_a hypothesis query "
        "title headline feedback ticket abstract article line lyrics normalized_text answer words raw_text clean_text "
        "phrase statement claim input overview synopsis plot"
    ),
    "text_pair": "text_pair sentence2 question2 hypothesis sentence_2 s2 text2 text_b premise passage second",
    "label": (
        "label labels class category target sentiment intent topic rating stars overall score tag tags emotion "
        "polarity grade genre type y is_duplicate toxicity spam species breed diagnosis language command severity "
        "priority quality gold outcome stance verdict relation department subject genres categories topics"
    ),
    "image": "image img picture photo file_name filename file image_path path filepath scan x",
    "audio": "audio path file file_name filename recording wav audio_path speech sound clip filepath",
    "mask": "mask masks annotation segmentation label seg mask_path gt segmentation_mask ground_truth",
    "objects": "objects boxes bboxes annotations detections",
    "segments": "segments events annotations turns",
    "tokens": "tokens words text sentence",
    "tags": "tags ner_tags labels ner pos_tags upos pos entities label",
    "question": "question query questions",
    "context": "context passage paragraph document article text",
    "answers": "answers answer",
    "source": ("source src input article document dialogue text content body story report transcript"),
    "target": "target tgt output summary highlights abstract headline tldr translation response",
    "query": "query question anchor sentence1 sentence_1 s1 text1 title search premise",
    "positive": (
        "positive pos answer passage document response sentence2 sentence_2 s2 text2 context description product"
    ),
    "negative": "negative neg hard_negative",
    "score": "score similarity similarity_score relatedness relevance gold_score",
    "user": "user user_id customer customer_id reviewer member visitor account userid",
    "item": "item item_id product product_id movie_id movie asin sku book_id isbn track_id article_id stock_code",
    "time": "time timestamp date datetime day created_at when unix_time",
    "rating": "rating stars score overall grade",
    "id": "id item item_id movie_id product_id sku asin book_id isbn track_id",
}
# The roles of a translation, whose columns are called alike, and how well such a name fits.
_SIDES, _LANGUAGE = ("source", "target"), 0.8
_NAMES = {role: tuple(names.split()) for role, names in _USUAL.items()}
_TITLES = frozenset(("title", "subject", "headline", "heading", "name"))
_BODIES = frozenset(
    (
        "body",
        "text",
        "content",
        "description",
        "message",
        "review",
        "abstract",
        "comment",
        "article",
        "overview",
        "synopsis",
    )
)


def words_of(name: str) -> list[str]:
    """The words of a column's name, in lower case: `Review Text`, `reviewText`, `translation.fr`."""
    return re.findall("[a-z]+|[0-9]+", re.sub("([a-z0-9])([A-Z])", r"\1 \2", name).lower())


@cache
def likeness(role: str, name: str) -> float:
    """How well a column's name fits a role: 1 its own, less for rarer ones and for names that hold one, else 0."""
    if not name:
        return 0.0
    names = _NAMES.get(role, (role,))
    words = words_of(name.rpartition(".")[2])
    joined = "".join(words)
    if role in _SIDES and words[:1] and words[0] in LANGUAGES:
        return _LANGUAGE
    for rank, usual in enumerate(names):
        if joined == "".join(words_of(usual)):
            return 1 - 0.3 * rank / len(names)
    long = [usual for usual in names if len(usual) > 2]
    # `review text` is a text, `text id` none.
    if len(words) > 1 and words[-1] in long:
        return 0.6
    return 0.4 if len(words) > 1 and set(words) & set(long) and words[-1] not in ("id", "length", "count") else 0.0


def is_title_of(first: str, second: str) -> bool:
    """Whether a column is the title of the text in another."""
    above, below = set(words_of(first)), set(words_of(second))
    return bool(above & _TITLES and below & _BODIES and not below & _TITLES)
