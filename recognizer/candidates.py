"""Texts near the most probable one under CTC, for a second opinion to choose from."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recognizer.ctc import BLANK

MOST_CHANGES = 3
"""Places in which a candidate differs from the most probable path."""
INSERTIONS, SUBSTITUTIONS = 3, 4
"""Other characters tried at one place."""
HOPELESS = 9.0
"""Logarithm of how many times less probable than the best path a change may make a text."""

Text = tuple[int, ...]


class Change(NamedTuple):
    """Another reading of one run of frames."""

    cost: float
    """Logarithm of how many times less probable it is."""
    run: int
    characters: Text
    """What is read there instead."""


def candidates(log_probabilities: NDArray[np.floating], count: int) -> list[Text]:
    """Up to ``count`` different texts of one word, the most probable path's first, then about by falling probability.

    The best path is cut into runs of one class. In each run of blanks a character may have been missed; each run of a
    character may be another one, none, or the same one twice. Combinations of up to ``MOST_CHANGES`` such changes are
    taken by their costs.

    Args:
        log_probabilities: (T, 1 + characters), class 0 the blank.
    """
    path = log_probabilities.argmax(1)
    starts = np.flatnonzero(np.diff(path, prepend=-1))
    ends = np.append(starts[1:], len(path))
    best: list[Text] = [(int(path[start]),) if path[start] != BLANK else () for start in starts]
    changes: list[Change] = []
    for run, (start, end) in enumerate(zip(starts, ends, strict=True)):
        frames = log_probabilities[start:end]
        changes += _missed(frames, run) if path[start] == BLANK else _mistaken(frames, run, int(path[start]))
    texts = {_joined(best): None}
    for chosen in _combinations(sorted(changes)):
        if len(texts) >= count:
            break
        changed = list(best)
        for change in chosen:
            changed[change.run] = change.characters
        texts.setdefault(_joined(changed))
    return list(texts)


def _joined(runs: list[Text]) -> Text:
    return tuple(character for run in runs for character in run)


def _missed(frames: NDArray[np.floating], run: int) -> list[Change]:
    """Characters that a run of blanks may hide."""
    costs = (frames[:, [BLANK]] - frames).min(0)
    costs[BLANK] = np.inf
    return _cheapest(costs, run, INSERTIONS)


def _mistaken(frames: NDArray[np.floating], run: int, character: int) -> list[Change]:
    """What else a run of a character may be: another one in at least one of its frames and blanks in the rest, nothing,
    or the character twice."""
    blank = frames[:, [BLANK]]
    either = np.maximum(frames, blank)
    best = frames[:, character].sum()
    costs = best - either.sum(0) + (either - frames).min(0)
    costs[[BLANK, character]] = np.inf
    none = float(best - blank.sum())
    # Twice, if one of the frames in between were blank.
    twice = float((frames[1:-1, character] - frames[1:-1, BLANK]).min(initial=np.inf))
    others = (Change(none, run, ()), Change(twice, run, (character, character)))
    return _cheapest(costs, run, SUBSTITUTIONS) + [change for change in others if change.cost < HOPELESS]


def _cheapest(costs: NDArray[np.floating], run: int, count: int) -> list[Change]:
    order = np.argpartition(costs, min(count, len(costs) - 1))[:count]
    return [Change(float(costs[c]), run, (int(c),)) for c in order if costs[c] < HOPELESS]


def _combinations(changes: list[Change]) -> Iterator[list[Change]]:
    """Sets of up to ``MOST_CHANGES`` changes of different runs, by rising cost. ``changes`` are sorted by cost."""
    # Each set is reached once: from the one whose last change is the cheaper neighbour, or that lacks the last.
    heap: list[tuple[float, tuple[int, ...]]] = [(changes[0].cost, (0,))] if changes else []
    while heap:
        cost, places = heapq.heappop(heap)
        chosen = [changes[place] for place in places]
        if len({change.run for change in chosen}) == len(chosen):
            yield chosen
        following = places[-1] + 1
        if following == len(changes):
            continue
        step = changes[following].cost
        heapq.heappush(heap, (cost - chosen[-1].cost + step, (*places[:-1], following)))
        if len(places) < MOST_CHANGES:
            heapq.heappush(heap, (cost + step, (*places, following)))
