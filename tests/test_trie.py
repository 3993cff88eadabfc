"""The trie: every prefix of the words and no other, found through its arrays."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from recognizer.trie import NO_WORD, ROOT, Trie


def spelled(trie: Trie) -> dict[tuple[int, ...], int]:
    """Every prefix, by walking down from the root, and the word that ends there."""
    found = {}
    level = [((), ROOT)]
    while level:
        found.update({prefix: int(trie.words[node]) for prefix, node in level})
        children, parents = trie.children(np.array([node for _, node in level]))
        level = [
            ((*level[parent][0], int(trie.symbols[child])), int(child))
            for child, parent in zip(children, parents, strict=True)
        ]
    return found


def test_three_words() -> None:
    assert spelled(Trie([[2, 1], [2], [1, 1]])) == {
        (): NO_WORD,
        (1,): NO_WORD,
        (2,): 1,
        (1, 1): 2,
        (2, 1): 0,
    }


def test_of_equal_words_the_first_counts() -> None:
    assert spelled(Trie([[1], [2], [1]])) == {(): NO_WORD, (1,): 0, (2,): 1}


def test_nothing_and_the_empty_word() -> None:
    assert spelled(Trie([])) == {(): NO_WORD}
    assert spelled(Trie([[]])) == {(): 0}
    assert spelled(Trie([[3], []])) == {(): 1, (3,): 0}


@given(st.lists(st.lists(st.integers(1, 4), max_size=5), max_size=30))
def test_holds_all_prefixes_and_nothing_else(words: list[list[int]]) -> None:
    expected = {(): NO_WORD} | {tuple(word[:end]): NO_WORD for word in words for end in range(len(word) + 1)}
    for index, word in reversed(list(enumerate(words))):
        expected[tuple(word)] = index
    trie = Trie(words)
    assert spelled(trie) == expected
    assert len(trie) == len(expected)
