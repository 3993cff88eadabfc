"""The rectifier at run time: locate the word in a crop, then sample it flat from the full resolution."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from rectify.conventions import MARGIN, extent_of, to_pixels, to_pixels_of
from rectify.engine import Engine, load_engine, pick_config
from rectify.families import ThinPlateSpline
from rectify.folds import unfolded
from rectify.framing import LEAST_BEND, Framing
from rectify.images import MAX_SIDE, Image, check_images
from rectify.orientation import SURE, TURNS, Orientation, is_tall, view
from rectify.polygon import NO_MARGIN, OnError, Placement, flatten_placement, place_polygons, preview
from rectify.rectified import Rectified
from rectify.shape import QuickResizer, Resize, frame_size, quick_resize, resize, text_shape, thumbnail
from rectify.strength import bend_strength
from rectify.warp import warp, warp_batch
from rectify.weights_io import companions, select_weights

if TYPE_CHECKING:
    from torch import nn

CROP_MARGIN = (0.1, 0.25)
"""What the first network sees around a word along a polygon, or one that it turned: about as much as around the words
it was trained on."""

BATCH = 128
"""Thumbnails in one call of the network."""

LEAST_FILL = 0.5
"""A word that fills no more of its crop, with the margin around it, is cut out in any case."""

ASLANT = 20.0
"""Degrees by which a word is turned in its crop from which the network looks at it again once it lies straight."""


class Rectifier:
    """Flattens crops of a word: curved, slanted, turned or in perspective.

    Images are uint8 arrays, (H, W), (H, W, 1) or (H, W, 3), and results keep their channels; the order RGB is what the
    network was trained on.

    Args:
        weights: a weight file or folder; None takes the shipped ones.
        threads: of the network.
        margin: space around the word in the results, as shares of its length at each end and of its height above and
            below. The default is what this project's recogniser was trained with; other engines may like more.
        least_bend: crops whose word is less bent (``Rectified.strength``) are left as they are, if it fills them. 0
            flattens each.
        least_height: rows that a flattened word has if it can; smaller ones are sampled finer than their source, up to
            ``shape.FINEST`` times. 0 keeps the resolution of the source. It is for engines that enlarge small crops:
            what they enlarge was then not interpolated before at the coarser resolution.
        sharp: samples bicubically instead of bilinearly: letters keep their edges.
        any_rotation: True finds out first by how many quarter turns each crop is turned, upside down included. None
            does so for tall crops only, which may hold a word that runs up or down, as far as a network for it is
            installed. False expects all crops upright.

    Raises:
        FileNotFoundError, ValueError: no weights there, or none of a rectifier, or of a network for any rotation.
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | None = None,
        threads: int = 1,
        margin: tuple[float, float] = MARGIN,
        least_bend: float = LEAST_BEND,
        any_rotation: bool | None = None,
        least_height: int = 0,
        sharp: bool = False,
    ) -> None:
        self._made_from = weights, threads, margin, least_bend, any_rotation, least_height, sharp
        self.framing = Framing(margin, least_bend, least_height, sharp)
        file = select_weights(weights, "rectifier", __file__)
        self._engine: Engine = load_engine(file, threads, _build_network)
        config = self._engine.config
        self.rows = int(config["rows"])
        self.cols = int(config["cols"])
        self._thumbnail_size = (int(config["thumbnail"][0]), int(config["thumbnail"][1]))
        self._refiner: Engine | None = None
        refiner = companions(weights, file).get("refiner")
        if refiner is not None:
            self._refiner = load_engine(refiner, threads, _build_network)
            rows, cols = self._refiner.config["rows"], self._refiner.config["cols"]
            if (rows, cols) != (self.rows, self.cols):
                raise ValueError(
                    f"{refiner.path}: has {rows}x{cols} control points, {file.path} {self.rows}x{self.cols}"
                )
        self.any_rotation = any_rotation
        self._load_orientation = partial(Orientation, weights, threads)
        if any_rotation:
            self.orientation  # noqa: B018 - what is missing is told now

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled, for other processes, as what it was made from: the networks are loaded anew there."""
        return type(self), self._made_from

    @cached_property
    def orientation(self) -> Orientation | None:
        """The network that tells quarter turns, loaded when the first crop needs it; None where there is none."""
        if self.any_rotation is False:
            return None
        try:
            return self._load_orientation()
        except FileNotFoundError:
            if self.any_rotation:
                raise
            return None

    def locate(
        self, images: Sequence[Image], resizer: Resize | None = None, turns: NDArray[np.int64] | None = None
    ) -> NDArray[np.float32]:
        """Control points (N, rows·cols, 2) of N crops, normalised (x, y) in each.

        Args:
            resizer: makes of the crops what the networks look at. Whoever resizes them again gives a
                ``shape.QuickResizer`` of his own.
            turns: (N,) quarter turns to the left by which each crop is turned; None finds them out (see
                ``any_rotation``).

        Raises:
            TypeError, ValueError: not images (see ``images.check_image``).
        """
        check_images(images, "rectify(image)")
        turns = self._turns(images) if turns is None else np.asarray(turns, np.int64) % 4
        upright = [np.rot90(image, -turn) if turn else image for image, turn in zip(images, turns, strict=True)]
        points = self._locate_upright(upright, resizer)
        return np.matmul(points, TURNS[-turns]) if turns.any() else points

    def _locate_upright(self, images: Sequence[Image], resizer: Resize | None = None) -> NDArray[np.float32]:
        """``locate`` for crops that are turned by no more than 45 degrees."""
        points = np.empty((len(images), self.rows * self.cols, 2), np.float32)
        for start in range(0, len(images), BATCH):
            points[start : start + BATCH] = self._locate_batch(images[start : start + BATCH], resizer or QuickResizer())
        return points

    def _turns(self, images: Sequence[Image]) -> NDArray[np.int64]:
        """By how many quarter turns to the left each crop is turned (N,)."""
        turns = np.zeros(len(images), np.int64)
        looked_at = [index for index, image in enumerate(images) if self.any_rotation or is_tall(image)]
        if looked_at and self.orientation is not None:
            # Who expects crops turned any way has no more upright ones than others.
            sure = 0.0 if self.any_rotation else SURE
            turns[looked_at] = self.orientation.turns([images[index] for index in looked_at], sure)
        return turns

    def _is_aslant(self, points: NDArray[np.float32], image: Image) -> bool:
        x, y = self._direction(to_pixels(points, image.shape[1::-1]))
        return bool(abs(np.degrees(np.arctan2(y, x))) > ASLANT)

    def _direction(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """From the word's beginning to its end (x, y), of control points in pixels."""
        ends = points.reshape(self.rows, self.cols, 2)[:, [0, -1]].mean(0)
        return np.asarray(ends[1] - ends[0])

    def _locate_batch(self, images: Sequence[Image], resizer: Resize) -> NDArray[np.float32]:
        """``_locate_upright`` in one call of each network."""
        points = self._engine(np.stack([thumbnail(image, self._thumbnail_size, resizer) for image in images]))
        if self.any_rotation:
            aslant = [index for index, image in enumerate(images) if self._is_aslant(points[index], image)]
            if aslant:
                turned = [images[index] for index in aslant]
                points[aslant] = self._look_again(self._engine, turned, points[aslant], CROP_MARGIN, resizer)
        points = unfolded(points, self.rows, self.cols)
        if self._refiner is not None:
            refined = self._look_again(self._refiner, images, points, MARGIN, resizer)
            points = unfolded(refined, self.rows, self.cols, earlier=points)
        return points

    def _look_again(
        self,
        engine: Engine,
        images: Sequence[Image],
        points: NDArray[np.float32],
        margin: tuple[float, float],
        resizer: Resize,
    ) -> NDArray[np.float32]:
        """Control points (N, K, 2) corrected by a network's look at the words as they are rectified so far, with this
        much space around them."""
        corrected = engine(self._seen(engine, images, points, margin, resizer)) * np.asarray(
            extent_of(margin), np.float32
        )
        spline = ThinPlateSpline(self.rows, self.cols)
        return spline.map(points.reshape(len(points), -1), corrected).astype(np.float32)

    def _seen(
        self,
        engine: Engine,
        images: Sequence[Image],
        points: NDArray[np.float32],
        margin: tuple[float, float],
        resizer: Resize,
    ) -> NDArray[np.uint8]:
        """What a network that looks again is shown (N, h, w, 3)."""
        pixels = to_pixels_of(points, images)
        width, height = engine.config["thumbnail"]
        return warp_batch(images, pixels, self.rows, self.cols, (int(width), int(height)), extent_of(margin), resizer)

    def shown(self, images: Sequence[Image]) -> dict[str, NDArray[np.uint8]]:
        """What each network is shown of upright crops (N, h, w, 3), by its kind: for whoever calibrates them.

        The one that tells quarter turns is shown them turned.
        """
        shown = {"rectifier": np.stack([thumbnail(image, self._thumbnail_size) for image in images])}
        if self._refiner is not None:
            points = unfolded(self._engine(shown["rectifier"]), self.rows, self.cols)
            shown["refiner"] = self._seen(self._refiner, images, points, MARGIN, quick_resize)
        if self.orientation is not None:
            turned = [np.rot90(image, number) for number, image in enumerate(images)]
            shown["orientation"] = np.stack([view(image)[0] for image in turned])
        return shown

    def rectify(self, image: Image, size: tuple[int, int] | None = None) -> Rectified:
        """Flattens one crop.

        Args:
            size: (width, height) of the result; None keeps the resolution of the source.

        Raises:
            TypeError, ValueError: not an image (see ``images.check_image``), or no size that a picture can have.
        """
        return self.cut_out(image, to_pixels_of(self.locate([image]), [image])[0], size)

    def __call__(self, images: Sequence[Image]) -> list[Rectified]:
        """Flattens many crops, in their order, each at the resolution of its source."""
        located = to_pixels_of(self.locate(images), images)
        return [self.cut_out(image, points) for image, points in zip(images, located, strict=True)]

    def rectify_polygon(
        self,
        image: Image,
        polygon: ArrayLike,
        refine: bool = False,
        margin: tuple[float, float] | None = None,
        keep_order: bool = False,
    ) -> Rectified:
        """A straight crop out of a photo, along a polygon as text detectors give it.

        Args:
            image: the photo.
            polygon: (M, 2) points in pixels, counted from the photo's top left corner: a quadrilateral, or an even
                number of points of which the first half runs along one edge of the text and the second half back along
                the other (see ``polygon.text_edges`` for the order).
            refine: let the network look at the straight crop and correct it. The photo is sampled once all the same,
                along both maps together.
            margin: space around the word, see ``Rectifier``. None gives exactly what is in the polygon, and with
                ``refine`` the rectifier's own margin.
            keep_order: trust the order of the points: the first half is the top edge, in reading direction. Where the
                edges of an even number of points meet in one tip, at the first and last point, it says that these are
                none too many.

        Raises:
            TypeError, ValueError: not an image, or not such a polygon, or one outside of the image.
        """
        return self.rectify_polygons(image, [polygon], refine, margin, keep_order)[0]

    @overload
    def rectify_polygons(
        self,
        image: Image,
        polygons: Sequence[ArrayLike],
        refine: bool = False,
        margin: tuple[float, float] | None = None,
        keep_order: bool = False,
        on_error: None = None,
    ) -> list[Rectified]: ...

    @overload
    def rectify_polygons(
        self,
        image: Image,
        polygons: Sequence[ArrayLike],
        refine: bool = False,
        margin: tuple[float, float] | None = None,
        keep_order: bool = False,
        *,
        on_error: OnError,
    ) -> list[Rectified | None]: ...

    def rectify_polygons(
        self,
        image: Image,
        polygons: Sequence[ArrayLike],
        refine: bool = False,
        margin: tuple[float, float] | None = None,
        keep_order: bool = False,
        on_error: OnError | None = None,
    ) -> list[Rectified] | list[Rectified | None]:
        """Straight crops along many polygons of one photo, see ``rectify_polygon``.

        Args:
            on_error: told the index of a polygon that cannot be used, and why; its crop is None then, instead of an
                error that loses them all.
        """
        placements = place_polygons(image, polygons, keep_order, on_error)
        placed = list(placements.values())
        if refine:
            placed = self._refined(image, placed, keep_order)
        if margin is None:
            margin = self.framing.margin if refine else NO_MARGIN
        finely = self.framing.least_height, self.framing.sharp
        crops = [flatten_placement(image, placement, margin, *finely) for placement in placed]
        if on_error is None:
            return crops
        found = dict(zip(placements, crops, strict=True))
        return [found.get(index) for index in range(len(polygons))]

    def _refined(self, image: Image, placements: list[Placement], upright: bool) -> list[Placement]:
        """Placements corrected by what the network finds in the crops along them.

        Args:
            upright: whether the words are known to lie upright in these.
        """
        crops = [preview(image, placement, CROP_MARGIN) for placement in placements]
        located = self._locate_upright(crops) if upright else self.locate(crops)
        return [
            placement.refined(points * extent_of(CROP_MARGIN), self.rows, self.cols)
            for placement, points in zip(placements, located, strict=True)
        ]

    def cut_out(
        self, image: Image, points: NDArray[np.float32], size: tuple[int, int] | None = None, is_line: bool = False
    ) -> Rectified:
        """A crop flattened along control points, or left as it is where it gains nothing.

        Args:
            points: (rows·cols, 2) control points in pixels of the crop (``locate`` gives them normalised, and
                ``conventions.to_pixels_of`` makes pixels of them).
            size: see ``rectify``.
            is_line: see ``judge``.

        Raises:
            ValueError: no size that a picture can have.
        """
        if size is not None:
            size = _checked_size(size)
        strength, bent = self.judge(image, points, is_line=is_line)
        if bent:
            cut = self.framing.margin, self.framing.least_height, self.framing.sharp
            flat = flatten(image, points, self.rows, self.cols, size, *cut)
        else:
            flat = resize(image, size) if size else image.copy()
        return Rectified(flat, points, self.rows, self.cols, bent, strength)

    def judge(
        self, image: Image, points: NDArray[np.float32], framing: Framing | None = None, is_line: bool = False
    ) -> tuple[float, bool]:
        """How far a word is bent (``Rectified.strength``), and whether its crop is worth flattening.

        In a tall crop, what runs across is a single letter, or a word set letter above letter: nothing for a spline
        along a line, unless more is known.

        Args:
            points: (rows·cols, 2) control points in pixels of the crop.
            framing: by which to judge, instead of the rectifier's own.
            is_line: whether letters are known to stand beside each other there.
        """
        framing = framing or self.framing
        strength = bend_strength(points, self.rows, self.cols)
        x, y = self._direction(points) / image.shape[1::-1]
        if framing.least_bend > 0 and is_tall(image) and x >= abs(y) and not is_line:
            return strength, False
        upside_down = bool(x < 0)  # lies as straight as upright ones
        fill = self._fill(image, points, framing.margin)
        return strength, upside_down or strength >= framing.least_bend or fill <= LEAST_FILL

    def _fill(self, image: Image, points: NDArray[np.float32], margin: tuple[float, float]) -> float:
        """The share of the crop that the word and its margin take."""
        length, height = text_shape(points.astype(np.float64), self.rows, self.cols)
        ends, sides = margin
        framed = length * (1 + 2 * ends) * height * (1 + 2 * sides)
        # Rounded, so that half a crop is half of it on every processor.
        return round(float(framed / (image.shape[0] * image.shape[1])), 6)


def _checked_size(size: Sequence[int]) -> tuple[int, int]:
    sides = np.asarray(size)
    if sides.shape != (2,) or sides.dtype.kind not in "iu" or sides.min() < 1 or sides.max() > MAX_SIDE:
        raise ValueError(f"a size is (width, height), whole numbers, 1 to {MAX_SIDE} pixels each, got {size}")
    return int(sides[0]), int(sides[1])


def flatten(
    image: Image,
    points: NDArray[np.float32],
    rows: int,
    cols: int,
    size: tuple[int, int] | None = None,
    margin: tuple[float, float] = MARGIN,
    least_height: int = 0,
    sharp: bool = False,
) -> Image:
    """A crop sampled flat along known control points.

    Args:
        image: (H, W) or (H, W, C) uint8.
        points: (rows·cols, 2) in pixels of the image.
        size: (width, height) of the result; None keeps the resolution of the source.
        margin, least_height, sharp: see ``Rectifier``.
    """
    size = size or natural_size(image, points, rows, cols, margin, least_height)
    return warp(image, points, rows, cols, size, extent_of(margin), sharp)


def natural_size(
    image: Image,
    points: NDArray[np.float32],
    rows: int,
    cols: int,
    margin: tuple[float, float] = MARGIN,
    least_height: int = 0,
) -> tuple[int, int]:
    """Size (width, height) at which a flat word keeps the resolution of its source, see ``shape.frame_size``."""
    length, height = text_shape(points.astype(np.float64), rows, cols)
    return frame_size(image, length, height, margin, least_height)


def _build_network(config: Mapping[str, Any]) -> nn.Module:
    from rectify.network import LocalizationConfig, build_localization

    return build_localization(pick_config(LocalizationConfig, config))
