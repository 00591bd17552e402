"""What is quoted together: a sentence with what it leads to, a comment with its statement, a statement as a whole; and
what is said once."""

from __future__ import annotations

import pytest

from aqe.engine.providers.extractive import Passage, extract
from aqe.engine.providers.quotable import Form

LEADING = "# Hashes\n\nDecode a hash:\n\n    ids = hashids.decode('1B8')\n\nHashes are short.\n"
FENCED = "Start the server so::\n\n```\naqe serve\n```\n\nStop it with Ctrl-C.\n"
COMMENTED = "#: Seconds that a tunnel\n#: may take to open\nTUNNEL_TIMEOUT = 10.0\n\nOTHER = 2\n"
SETTING = "# retries before giving up\nattempts = 7\n\n[other]\nattempts_left = 2\n"
BRANCH = "if max_size == 0:\n    return statistics_only(function)\nreturn cached(function)\n"
BROKEN = "x = 1\nraise ValueError(\n    'Connection closed',\n)\ny = 2\n"
SHORT = "class ConnectionLost(Error):\n    status = 503\n"


def quotes(question: str, text: str, form: Form = "prose") -> list[str]:
    """What is quoted from one passage, each quote on one line."""
    passage = Passage("id", text, "file", 1, 1.0, "index/docs", form=form)
    return [" ".join(one.quote.split()) for one in extract(question, [passage], threshold=0.0).citations]


@pytest.mark.parametrize(
    ("question", "text", "form", "quote"),
    [
        ("How do I decode a hash?", LEADING, "prose", "Decode a hash: ids = hashids.decode('1B8')"),
        ("How is the server started?", FENCED, "prose", "Start the server so:: ``` aqe serve ```"),
        ("How long may a tunnel take to open?", COMMENTED, "code", "may take to open TUNNEL_TIMEOUT = 10.0"),
        ("What is TUNNEL_TIMEOUT?", COMMENTED, "code", "#: Seconds that a tunnel #: may take"),
        ("How many retries before giving up?", SETTING, "settings", "# retries before giving up attempts = 7"),
        ("What happens if max_size is 0?", BRANCH, "code", "if max_size == 0: return statistics_only(function)"),
        ("What is raised on a closed connection?", BROKEN, "code", "raise ValueError( 'Connection closed', )"),
        ("Which status has ConnectionLost?", SHORT, "code", "class ConnectionLost(Error): status = 503"),
    ],
)
def test_quote_has_the_lines_that_it_makes_no_sense_without(question: str, text: str, form: Form, quote: str) -> None:
    """The first quote holds what its line leads to or belongs to, and not what stands further off."""
    first = quotes(question, text, form)[0]
    assert quote in first
    assert not {"Hashes are short.", "Stop it with Ctrl-C.", "OTHER = 2", "attempts_left = 2", "y = 2"} & {first[-17:]}
    assert len(first) <= len(quote) + 30


def test_long_example_is_quoted_by_its_first_lines() -> None:
    """A sentence that leads to a long example brings its first lines alone: six in all."""
    text = "This is how all the shelves are counted:\n\n" + "".join(f"    shelf({n})\n" for n in range(40))
    first = quotes("How are the shelves counted?", text)[0]
    assert first.startswith("This is how all the shelves are counted: shelf(0) shelf(1)")
    assert "shelf(3)" in first
    assert "shelf(4)" not in first


@pytest.mark.parametrize("text", ["How it is counted:", "How it is counted:\n\n", "How it is counted:\n```"])
def test_colon_at_the_end_of_a_text_leads_to_nothing(text: str) -> None:
    """A sentence that ends the passage with a colon is quoted as it stands."""
    assert quotes("How is it counted?", text)[0].startswith("How it is counted:")


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_sentence_that_two_files_say_is_quoted_once(order: tuple[int, int]) -> None:
    """Of a sentence and a paragraph that has it, whichever comes nearer, the answer holds the paragraph alone."""
    texts = ("An order may hold 40 lines.\n", "An order may hold 40 lines.\nLonger orders are split by hand.\n")
    passages = [
        Passage(f"m{at}", texts[at], f"{at}.md", 1, 1.0 - rank / 2, "index/docs") for rank, at in enumerate(order)
    ]
    found = extract("How many lines may an order hold?", passages, threshold=0.0)
    assert found.text.count("An order may hold 40 lines.") == 1
    assert "Longer orders are split by hand. [1.md:1]" in found.text


def test_word_of_a_comment_finds_the_setting_below_it() -> None:
    """A setting is found by the words of the comment above it, although another one has more words of the question."""
    text = "give_up = 2\n\n# how often a delivery is tried again\nattempts = 7\n\ndelivery_address = 'Graz'\n"
    assert quotes("How often is a delivery tried again?", text, "settings")[0].endswith("attempts = 7")
