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


def candidates(log_probabilities: NDArray[np.floating], count: int) -> list[list[Text]]:
    """Up to ``count`` different texts of each word, the most probable path's first, then about by falling probability.

    The best path is cut into runs of one class. In each run of blanks a character may have been missed; each run of a
    character may be another one, none, or the same one twice. Combinations of up to ``MOST_CHANGES`` such changes are
    taken by their costs.

    Args:
        log_probabilities: (N, T, 1 + characters), class 0 the blank.
    """
    words, length, classes = log_probabilities.shape
    if not words:
        return []
    frames = log_probabilities.reshape(-1, classes)  # one word behind the other, so that all are looked at together
    path = frames.argmax(1)
    begins = np.diff(path, prepend=-1) != 0
    begins[::length] = True
    starts = np.flatnonzero(begins)
    best: list[Text] = [(character,) if character != BLANK else () for character in path[starts].tolist()]
    changes: list[list[Change]] = [[] for _ in range(words)]
    owners = (starts // length).tolist()
    for change in _changes(frames, path, starts):
        changes[owners[change.run]].append(change)
    ends = np.searchsorted(starts, length * np.arange(words + 1)).tolist()
    return [
        _texts(best, slice(first, last), sorted(those), count)
        for first, last, those in zip(ends[:-1], ends[1:], changes, strict=True)
    ]


def _texts(best: list[Text], runs: slice, changes: list[Change], count: int) -> list[Text]:
    """The texts of one word, whose ``runs`` are those of the ``best`` path."""
    texts = {_joined(best[runs]): None}
    for chosen in _combinations(changes):
        if len(texts) >= count:
            break
        changed = best[runs]
        for change in chosen:
            changed[change.run - runs.start] = change.characters
        texts.setdefault(_joined(changed))
    return list(texts)


def _joined(runs: list[Text]) -> Text:
    return tuple(character for run in runs for character in run)


def _changes(frames: NDArray[np.floating], path: NDArray[np.integer], starts: NDArray[np.integer]) -> Iterator[Change]:
    """Other readings of each run that are not hopeless.

    A run of blanks may hide a character in one of its frames. A run of a character may be another one in at least one
    frame and blanks in the rest, nothing, or the character twice.

    Args:
        frames: log probabilities (T, 1 + characters).
        path: (T,) most probable class of each.
        starts: first frames of the runs.
    """
    blank, taken = frames[:, BLANK], frames.max(1)
    best = np.add.reduceat(taken, starts)
    either = np.maximum(frames, blank[:, None])
    costs = best[:, None] - np.add.reduceat(either, starts) + np.minimum.reduceat(either - frames, starts)
    characters = path[starts]
    costs[:, BLANK] = costs[np.arange(len(starts)), characters] = np.inf
    yield from _cheapest(costs, characters == BLANK)
    nothing = best - np.add.reduceat(blank, starts)
    between = taken - blank  # twice, if one of the frames in between were blank
    between[starts] = between[np.append(starts[1:], len(path)) - 1] = np.inf
    twice = np.minimum.reduceat(between, starts)
    for run in np.flatnonzero((characters != BLANK) & (np.minimum(nothing, twice) < HOPELESS)).tolist():
        character = int(characters[run])
        for cost, text in ((nothing[run], ()), (twice[run], (character, character))):
            if cost < HOPELESS:
                yield Change(float(cost), run, text)


def _cheapest(costs: NDArray[np.floating], blanks: NDArray[np.bool_]) -> Iterator[Change]:
    """The cheapest few other characters of each run, by the costs (R, 1 + characters) and whether it is of blanks."""
    most = min(SUBSTITUTIONS, costs.shape[1])
    characters = np.argsort(costs, axis=1)[:, :most]
    cheapest = np.take_along_axis(costs, characters, axis=1)
    cheapest[blanks, INSERTIONS:] = np.inf
    for run, place in np.argwhere(cheapest < HOPELESS).tolist():
        yield Change(float(cheapest[run, place]), run, (int(characters[run, place]),))


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
