import pytest

from dld_spotter.metrics.protocols import PROTOCOLS, dictionary_form

# truth, text, rrc, davar
TEXTS = [
    ("Word", "wORD", True, True),
    ("(word)", "word", True, True),
    ("(word", "word", True, True),
    ("word!", "word", True, True),
    ("(word)", "(word", True, True),
    ("((word", "word", False, False),
    ("word", "word!", False, False),
    ("wo.rd", "word", False, False),
    ("-word", "word", False, False),
    (" word", "word", False, True),
    ("!", "", True, True),
    ("straße", "STRASSE", True, True),
    ("·x", "x", True, True),
]


@pytest.mark.parametrize(("truth", "text", "rrc", "davar"), TEXTS)
def test_end_to_end_tolerates_one_mark_at_each_end_of_the_truth(truth, text, rrc, davar):
    assert PROTOCOLS["rrc"].same_text(truth, text, "end_to_end") is rrc
    assert PROTOCOLS["totaltext"].same_text(truth, text, "end_to_end") is rrc
    assert PROTOCOLS["davar"].same_text(truth, text, "end_to_end") is davar


def test_word_spotting_tolerates_no_mark():
    assert not PROTOCOLS["rrc"].same_text("(word)", "word", "word_spotting")
    assert PROTOCOLS["rrc"].same_text("word", "WORD", "word_spotting")


@pytest.mark.parametrize(
    ("transcription", "form"),
    [
        ("Word", "Word"),
        ("(Word)!", "Word"),
        ("--Word-", "Word"),
        ("well-known", "well-known"),
        ("Joe's", "Joe"),
        ("JOE'S", "JOE"),
        ("it's", None),
        ("don't", None),
        ("ab", None),
        ("R2D2", None),
        ("P.O.Box", None),
        ("café", "café"),
        ("ΕΞΟΔΟΣ", "ΕΞΟΔΟΣ"),
        ("日本語語", None),
        ("a\u00d7b\u00d7c", None),
        ("€uro", None),
        ("", None),
    ],
)
def test_dictionary_form(transcription, form):
    assert dictionary_form(transcription) == form
