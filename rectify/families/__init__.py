"""Families of transforms, one class each behind the interface of ``Family``; for numpy arrays and torch tensors."""

from rectify.families.affine import Affine
from rectify.families.attention import Attention, AttentionXY
from rectify.families.composition import Composition
from rectify.families.family import Family
from rectify.families.projective import Projective
from rectify.families.similarity import Similarity
from rectify.families.spline import ThinPlateSpline

__all__ = [
    "Affine",
    "Attention",
    "AttentionXY",
    "Composition",
    "Family",
    "Projective",
    "Similarity",
    "ThinPlateSpline",
]
