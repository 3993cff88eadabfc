"""The recogniser at run time: flat words to texts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recognizer import attention
from recognizer.charset import Charset
from recognizer.ctc import DECODERS, Decoded, Logits, log_softmax
from recognizer.language import WEIGHING, Choice, LanguageModel
from recognizer.lexicon import Lexicon
from recognizer.lexicon_spelling import near_words
from recognizer.networks import build_attention, build_network, find_language, find_spelling, open_language
from recognizer.preparation import Preparation
from recognizer.spelling import Speller
from rectify.engine import Engine, load_engine
from rectify.images import Image
from rectify.shape import quick_resize, sample_width
from rectify.weights_io import companions, select_weights

ATTENTION, ATTENTION_BEAM, BOTH = "attention", "attention-beam", "both"
"""Names of the decoders that read with the attention head: alone, alone by beam search, or beside the CTC head."""
SURE = 0.9
"""Confidence of CTC from which, without a language, the attention head is not asked."""
CERTAIN = 0.98
"""Confidence of CTC from which the language is not asked."""
DECIDED = 0.7
"""Probability, by CTC's one look and the language, from which a text is taken. Else the attention head is asked, the
word is looked at again, and all that is weighed; of one word in eight."""
LEGIBLE = 0.01
"""Confidence of the heads from which the language network is asked: of nothing seen it would make a word all the same.
None of the training words below was read."""

WIDTHS = (0.75, 1.5)
"""How many times as wide a word is looked at again where its first look and the language do not decide."""
LANGUAGE = "language"
"""Name of the decoder that weighs how likely texts are as such where CTC is not certain."""
CTC_NAMES = {"ctc": "greedy", "ctc-beam": "beam"}
"""What decoders are called besides what ``recognizer.ctc`` calls them."""
AUTO = "auto"
"""Name of the decoder that suits the weights: ``language`` where there is a language network for their characters, else
``both`` if they have two heads."""
NAMES = (AUTO, *CTC_NAMES, ATTENTION, ATTENTION_BEAM, BOTH, LANGUAGE)
"""Of all decoders, as users know them."""

TEMPERATURE = "confidence_temperature"
"""Key of a weight file's description under which a calibrated head keeps the temperature of its confidences."""


@dataclass(frozen=True)
class Reading:
    """What a word reads."""

    text: str
    confidence: float
    """0..1: the probability of the text as a geometric mean over its characters, to the power of 1 / temperature where
    the weights are calibrated (``python -m train.calibrate``): then about the share of such readings that are right.
    Of a text that the language was asked about, its probability among the texts that were weighed."""


class Recognizer:
    """Reads flat words.

    Args:
        weights: a weight file or folder; None takes the shipped ones.
        threads: of the network.
        decoder: ``ctc`` or ``ctc-beam`` (which ``greedy`` and ``beam`` mean, too) for the CTC head, ``attention`` or
            ``attention-beam`` for the attention head, ``both`` for the more certain of the two where the first is not
            sure by itself, read greedily; ``language`` for CTC and, where that is not certain, the most likely of the
            texts near by (see ``language.LanguageModel``); the attention head, if there is one, is asked as well where
            the first look at the word does not decide. Imported weights with an attention head know only ``ctc``.
            ``auto`` is ``language`` where there is a language network for these characters, shipped or beside the
            weights, else ``both`` where the weights have two heads, else ``ctc``. ``attention-beam``, and the attention
            head with a lexicon, need a file ``spelling`` beside exported weights.
        lexicon: words that a text can be. Of these the CTC head's most probable one is read (see
            ``Lexicon.read_ctc``); the attention head chooses among the eight most probable ones, and with both heads,
            where the first is not sure, the product of the two probabilities does, if there is a file ``spelling``.

    Raises:
        FileNotFoundError, ValueError: no weights there, none of a recogniser, no such decoder, or a lexicon that the
            weights cannot read (see ``lexicon.Lexicon.spelled``).
        TypeError: a lexicon that is not many words.

    Attributes:
        preparation: what imported weights want done to a crop of any size; None for this project's own networks, whose
            words are sampled at their own width.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        threads: int = 1,
        decoder: str = AUTO,
        lexicon: Lexicon | Sequence[str] | None = None,
    ) -> None:
        self._made_from = weights, threads, decoder, lexicon
        if decoder not in (*NAMES, *DECODERS):
            raise ValueError(f"no decoder {decoder!r}; there are {', '.join(NAMES)}")
        decoder = CTC_NAMES.get(decoder, decoder)
        lexicon = None if lexicon is None else Lexicon.of(lexicon)
        file = select_weights(weights, "recognizer", __file__)
        beside = companions(weights, file)
        language = find_language(file, beside)
        if decoder == AUTO:
            decoder = LANGUAGE if language else BOTH if "attention" in beside else "greedy"
        self._engine: Engine = load_engine(file, threads, build_network)
        self.config = self._engine.config
        self.charset = Charset(self.config["charset"])
        self.preparation = None
        if "preparation" in self.config:
            self.preparation = Preparation.from_config(self.config["preparation"])
        self.height = self.preparation.height if self.preparation else int(self.config["height"])
        self._decoder = decoder
        self._decode = make_decoder(decoder if decoder in DECODERS else "greedy", self.config, len(self.charset))
        self._attention: Engine | None = None
        heads = decoder in (ATTENTION, ATTENTION_BEAM, BOTH) or (decoder == LANGUAGE and "attention" in beside)
        if heads and lexicon is None:
            head = select_weights(weights, "attention", __file__)
            self._attention = load_engine(head, threads, build_attention)
        self._threads = threads
        self._spelling = find_spelling(beside)
        if decoder == ATTENTION_BEAM or (decoder == ATTENTION and lexicon is not None):
            self._speller  # noqa: B018 - what is missing is told now
        self._language: LanguageModel | None = None
        if decoder == LANGUAGE and lexicon is None:
            self._language = open_language(language, file, threads)
        self._lexicon = lexicon
        if lexicon is not None:
            self._check_lexicon(lexicon)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, for other processes, as what it was made from: the networks are loaded anew there."""
        return type(self), self._made_from

    @property
    def rectifies(self) -> bool:
        """Whether imported weights rectify crops within their own network."""
        return self.config.get("transformation", "none") != "none"

    @property
    def attends(self) -> bool:
        """Whether the attention head reads texts, alone or beside the other, and can be drawn."""
        return self._attention is not None

    def width(self, length: float, height: float) -> int:
        """Width at which to sample a word of this shape (see ``shape.sample_width``)."""
        return sample_width(length, height, self.config)

    def logits(self, images: NDArray[np.uint8] | Sequence[Image]) -> NDArray[np.float32]:
        """Raw scores before decoding: CTC logits (N, T, 1 + characters), class 0 the blank and T = W/4.

        Imported weights score as their own project does: the order of the classes and T are that project's.

        Args:
            images: (N, height, W, 3) uint8 RGB, W as ``width`` gives it. For imported weights crops of any sizes, which
                are prepared first and must then be equally wide.

        Raises:
            ValueError: images of another shape or type.
        """
        if self.preparation is not None:
            prepared = [self.preparation(image) for image in images]
            widths = sorted({image.shape[1] for image in prepared})
            if len(widths) > 1:
                raise ValueError(f"these crops need pictures of different widths ({widths}); give one at a time")
            images = np.stack(prepared)
        return self._outputs(np.asarray(images))[0]

    def letter_logits(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Raw scores of the attention head (N, 2, L, 1 + characters), from the left and from the right; class 0 ends a
        word, and L is the length of the longest that either direction reads, its end included, as far as there is one.

        Args:
            images: as ``logits`` takes them.

        Raises:
            ValueError: images of another shape or type, or a decoder without the attention head.
        """
        return self._letters(images)[0]

    def draw_attention(self, image: NDArray[np.uint8]) -> Image:
        """A picture of where the attention head looked for each letter of a flat word (height, W, 3); see
        ``attention_picture.draw_attention`` and ``letter_logits``."""
        from recognizer.attention_picture import draw_attention

        logits, maps = self._letters(image[None])
        (((indices, _), looked),) = attention.read_with_maps(logits, maps, len(self.charset))
        return draw_attention(image, looked, self.charset.decode(indices))

    def _letters(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        if self._attention is None:
            raise ValueError(
                "the attention head is loaded by Recognizer(decoder='attention') or 'both', from weights that hold it"
            )
        return self._attention.outputs(self._outputs(np.asarray(images))[1])

    def _outputs(self, images: NDArray[np.uint8]) -> list[NDArray[np.float32]]:
        """CTC logits, and what else the network gives: the features that an attention head reads."""
        if images.ndim != 4 or images.shape[1] != self.height or images.shape[3] != 3 or images.dtype != np.uint8:
            raise ValueError(f"expected uint8 (N, {self.height}, W, 3), got {images.dtype} {images.shape}")
        if not len(images):
            raise ValueError("no images")  # ONNX Runtime's operators would end the process
        return self._engine.outputs(images)

    def read(
        self, images: NDArray[np.uint8] | Sequence[Image], lexicons: Sequence[Lexicon | Sequence[str]] | None = None
    ) -> list[Reading]:
        """One reading an image of ``images`` (see ``logits``); for imported weights crops of any sizes.

        Args:
            lexicons: for each image the words that it can be, instead of the recogniser's own lexicon. Of a long list
                that several images share, make one ``Lexicon``.

        Raises:
            TypeError: a lexicon that is not many words.
            ValueError: not such images, or lexicons that are not as many.
        """
        if lexicons is not None and len(lexicons) != len(images):
            raise ValueError(f"{len(lexicons)} lexicons for {len(images)} images")
        if not len(images):
            return []
        known = None if lexicons is None else [Lexicon.of(words) for words in lexicons]
        if known is None and self._lexicon is not None:
            known = [self._lexicon] * len(images)
        if self.preparation is None:
            return self._read_flat(self._stacked(images), known)
        return self._read_prepared(images, self.preparation, known)

    def glance(
        self, images: NDArray[np.uint8] | Sequence[Image], lexicons: Sequence[Lexicon] | None = None
    ) -> list[Reading]:
        """What the CTC head reads, in a part of the time of ``read``: enough to tell which of several pictures shows a
        word.

        Args:
            images, lexicons: as ``read`` takes them, of this project's own networks.
        """
        if not len(images):
            return []
        if lexicons is None and self._lexicon is not None:
            lexicons = [self._lexicon] * len(images)
        return self._readings(self._outputs(self._stacked(images))[0], lexicons)

    def _stacked(self, images: NDArray[np.uint8] | Sequence[Image]) -> NDArray[np.uint8]:
        try:
            return np.asarray(images)
        except ValueError:
            raise ValueError(
                f"expected uint8 (N, {self.height}, W, 3), flat words of one width; `Pipeline` reads crops of any size"
            ) from None

    def answer(self, images: Sequence[Image], lexicons: Sequence[Lexicon] | None = None) -> list[tuple[str, float]]:
        """Text and confidence of each crop: what ``Pipeline`` asks of an engine."""
        return [(reading.text, reading.confidence) for reading in self.read(images, lexicons)]

    def _read_flat(self, images: NDArray[np.uint8], lexicons: Sequence[Lexicon] | None) -> list[Reading]:
        """Flat words of one width."""
        logits, *features = self._outputs(images)
        if lexicons is not None:
            return self._find_words(logits, features, lexicons)
        if self._decoder == ATTENTION_BEAM:
            return self._calibrated(self._speller.config, self._decoded(self._speller.beam(features[0])))
        if self._attention and self._decoder == ATTENTION:
            return self._attend(self._attention, features[0])
        readings = self._readings(logits, None)
        if self._language:
            self._weigh(self._language, images, logits, features, readings)
        else:
            self._ask_attention(features, _below(SURE, readings), readings)
        return readings

    def _ask_attention(
        self, features: Sequence[NDArray[np.float32]], places: list[int], readings: list[Reading]
    ) -> None:
        """Replace the readings at some places by the attention head's where that is more certain, if there is one."""
        if self._attention and places:
            for place, reading in zip(places, self._attend(self._attention, features[0][places]), strict=True):
                readings[place] = max(reading, readings[place], key=lambda one: one.confidence)

    def _weigh(
        self,
        language: LanguageModel,
        images: NDArray[np.uint8],
        logits: NDArray[np.float32],
        features: Sequence[NDArray[np.float32]],
        readings: list[Reading],
    ) -> None:
        """Replace readings that are not certain by the text that is likeliest, seen and as a text.

        Most are decided by the CTC head's one look and the language; only the rest is shown to the attention head and
        looked at again.
        """
        asked = _below(CERTAIN, readings)
        legible = [place for place in asked if readings[place].confidence >= LEGIBLE]
        choices = self._choices(language, [log_softmax(logits[legible])], legible, readings, {})
        for place, choice in choices.items():
            likeliest = self._likeliest(choice)
            if likeliest.confidence >= DECIDED:
                readings[place] = likeliest
                asked.remove(place)
        self._ask_attention(features, asked, readings)
        again = [place for place in asked if readings[place].confidence >= LEGIBLE]
        if again:
            looks = self.looks(images[again], logits[again])
            for place, choice in self._choices(language, looks, again, readings, choices).items():
                readings[place] = self._likeliest(choice)

    def _choices(
        self,
        language: LanguageModel,
        looks: Sequence[NDArray[np.float64]],
        places: Sequence[int],
        readings: Sequence[Reading],
        earlier: Mapping[int, Choice],
    ) -> dict[int, Choice]:
        """What the words at some places may read, by their place; see ``LanguageModel.choices``."""
        heard = [tuple(self.charset.encode(readings[place].text)) for place in places]
        before = [earlier.get(place) for place in places]
        return dict(zip(places, language.choices(looks, heard, before), strict=True))

    def _likeliest(self, choice: Choice) -> Reading:
        index, confidence = choice.best(WEIGHING)
        return Reading(self.charset.decode(choice.texts[index]), confidence)

    def looks(self, images: NDArray[np.uint8], logits: NDArray[np.float32] | None = None) -> list[NDArray[np.float64]]:
        """Log probabilities (N, T, 1 + characters) by the CTC head of flat words as they are, as negatives, and at
        ``WIDTHS``.

        What is hard to read at one width may be clear at another: the frames lie elsewhere in the letters. And what is
        a letter or its background at one time may be taken for the other at another.

        Args:
            images: as ``logits`` takes them, of this project's own networks.
            logits: of these images, if they are there already.
        """
        scores = [self.logits(images) if logits is None else logits, self.logits(255 - images)]
        multiple, own, most = self.config["width_multiple"], images.shape[2], self.config["max_width"]
        # Where the least width is the most, the network takes no other.
        for times in WIDTHS if self.config["min_width"] < most else ():
            width = min(most, multiple * max(1, round(times * own / multiple)))
            if width != own:
                resized = np.stack([quick_resize(image, (width, self.height)) for image in images])
                scores.append(self.logits(resized))
        return [log_softmax(one) for one in scores]

    def _attend(self, head: Engine, features: NDArray[np.float32]) -> list[Reading]:
        """Readings of the attention head."""
        read = attention.both_ways(head(features), len(self.charset))
        return self._calibrated(head.config, self._decoded(read))

    def _find_words(
        self, logits: NDArray[np.float32], features: Sequence[NDArray[np.float32]], lexicons: Sequence[Lexicon]
    ) -> list[Reading]:
        """The word of its lexicon that each crop shows, by the heads that the decoder asks."""
        alone = self._decoder in (ATTENTION, ATTENTION_BEAM)
        readings = [Reading("", 0.0)] * len(logits) if alone else self._readings(logits, lexicons)
        asked = _below(SURE, readings)
        if self._decoder in DECODERS or not asked or not (alone or self._spelling):
            return readings
        known = [lexicons[index] for index in asked]
        for index, near in zip(
            asked, near_words(self._speller, logits[asked], features[0][asked], known, self.charset), strict=True
        ):
            if near is not None:
                word, seen, spelled = near.best(alone)
                by_attention = self._calibrated(self._speller.config, [(word, spelled)])
                by_either = by_attention + ([] if alone else self._calibrated(self.config, [(word, seen)]))
                readings[index] = max(by_either, key=lambda one: one.confidence)
        return readings

    @cached_property
    def _speller(self) -> Speller:
        """The attention head asked about given texts, loaded when the first crop needs it.

        Raises:
            ValueError: these weights do not hold what that takes.
        """
        if self._spelling is None:
            raise ValueError(
                "the attention head cannot be asked about given texts: these weights hold no `spelling`, which "
                "`rectify-ocr export` of their safetensors makes"
            )
        return Speller(load_engine(self._spelling, self._threads, build_attention))

    def _decoded(self, read: Decoded) -> list[tuple[str, float]]:
        return [(self.charset.decode(indices), confidence) for indices, confidence in read]

    def _read_prepared(
        self,
        images: NDArray[np.uint8] | Sequence[Image],
        prepare: Preparation,
        lexicons: Sequence[Lexicon] | None,
    ) -> list[Reading]:
        """Crops of any sizes, prepared and read in groups of one width; uncertain ones again with more contrast."""
        prepared = [prepare(image) for image in images]
        by_width: dict[int, list[int]] = {}
        for index, image in enumerate(prepared):
            by_width.setdefault(image.shape[1], []).append(index)
        readings: dict[int, Reading] = {}
        for indices in by_width.values():
            logits = self._engine(np.stack([prepared[index] for index in indices]))
            known = lexicons and [lexicons[index] for index in indices]
            readings.update(zip(indices, self._readings(logits, known), strict=True))
            if not prepare.contrast_below:
                continue
            for index, certainty in zip(indices, frame_certainty(logits), strict=True):
                if certainty < prepare.contrast_below:
                    again = self._engine(prepare(images[index], prepare.contrast)[None])
                    if frame_certainty(again)[0] >= certainty:
                        readings[index] = self._readings(again, lexicons and [lexicons[index]])[0]
        return [readings[index] for index in range(len(prepared))]

    def _readings(self, logits: NDArray[np.float32], lexicons: Sequence[Lexicon] | None) -> list[Reading]:
        read = self._decoded(self._decode(logits)) if lexicons is None else self._words(logits, lexicons)
        return self._calibrated(self.config, read)

    @staticmethod
    def _calibrated(config: Mapping[str, Any], read: list[tuple[str, float]]) -> list[Reading]:
        temperature = float(config.get(TEMPERATURE, 1.0))
        return [Reading(text, confidence ** (1 / temperature)) for text, confidence in read]

    def _words(self, logits: NDArray[np.float32], lexicons: Sequence[Lexicon]) -> list[tuple[str, float]]:
        """The most probable word of each sample's lexicon, and its confidence before calibration."""
        for lexicon in dict.fromkeys(lexicons):
            self._check_lexicon(lexicon)
        pairs = zip(lexicons, logits, strict=True)
        return [lexicon.read_ctc(frames[None], self.charset)[0] for lexicon, frames in pairs]

    def _check_lexicon(self, lexicon: Lexicon) -> None:
        """Raises a ValueError if these weights cannot read with it."""
        if self.config.get("letters"):
            raise ValueError("a lexicon is for CTC; these weights have an attention head")
        lexicon.spelled(self.charset)


def _below(bound: float, readings: Sequence[Reading]) -> list[int]:
    """Which readings are less sure than that."""
    return [index for index, reading in enumerate(readings) if reading.confidence < bound]


def make_decoder(name: str, config: Mapping[str, Any], characters: int) -> Callable[[Logits], Decoded]:
    """The decoder of that name for the head that a weight file describes.

    Raises:
        ValueError: the head has none of that name.
    """
    letters = config.get("letters")
    if not letters:
        return DECODERS[name]
    if name != "greedy":
        raise ValueError(f"decoder {name!r} is for CTC; these weights have an attention head, which reads greedily")
    return partial(attention.greedy, first=letters["first"], end=letters["end"], characters=characters)


def frame_certainty(logits: NDArray[np.float32]) -> list[float]:
    """How certain EasyOCR calls CTC logits (N, T, C): the product p of the best probabilities of the frames that are no
    blank, F of them, as p ** (2 / √F); 0 without such frames."""
    certainties = []
    for best, probability in zip(logits.argmax(-1), log_softmax(logits).max(-1), strict=True):
        kept = probability[best != 0]
        certainties.append(float(np.exp(kept.sum() * 2 / np.sqrt(len(kept)))) if len(kept) else 0.0)
    return certainties
