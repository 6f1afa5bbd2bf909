"""Decide what a person should know before trusting a score: where a picture differs from the training pictures."""

from model.bundle import Bundle
from model.images.decode import Picture
from model.images.dicom_header import Stated
from model.images.limits import Refused
from model.images.refuse import Appearance
from model.serving.prediction import Caution, CautionCode, OperatingPoint

# Shares of black and of white pixels, counted as model.images.refuse does. They lie above those that 99.9 % of the
# 5,206 training and validation films of Kermany's set stay below (.220 and .0014; the largest are .278 and .017).
# Black borders and air are part of every film; white at the end of the range is not.
BLACK_LIMIT, WHITE_LIMIT = 0.25, 0.01
_Check = tuple[bool, CautionCode, str]  # whether the caution applies, its code and its sentence


def check_age(stated: Stated, bundle: Bundle) -> None:
    """Raise Refused("outside_intended_use", ..) if the patient is known to be of another age than in training."""
    if _is_other_age(stated, bundle):
        raise Refused("outside_intended_use", f"the patient's age is outside the {_ages(bundle)}")


def find(picture: Picture, bundle: Bundle, seen: Appearance) -> list[Caution]:
    """The cautions of a picture that was not refused. No sentence contains a value of its header."""
    checks: list[_Check] = [
        *_age(picture.stated, bundle),
        (
            bundle.caution_limit is not None and seen.distance > bundle.caution_limit,
            "unlike_training",
            "The picture is unlike nearly all films that this model learned from.",
        ),
        (
            picture.stated.view == "AP",
            "view_ap",
            "The file states an AP view (from front to back): the heart looks larger than in a PA view.",
        ),
        (
            picture.stated.view == "PA",
            "view_pa",
            "The file states a PA view (from back to front): the heart looks smaller than in an AP view.",
        ),
        (
            picture.height < bundle.height or picture.width < bundle.width,
            "low_resolution",
            f"The picture has fewer pixels on a side than the network's input ({bundle.width} x {bundle.height}).",
        ),
        *_exposure(seen, bundle),
    ]
    return [{"code": code, "sentence": sentence} for applies, code, sentence in checks if applies]


def of_threshold(point: OperatingPoint | None) -> list[Caution]:
    """The caution of a threshold that belongs to no operating point."""
    if point is not None:
        return []
    sentence = "The threshold was given by hand: its sensitivity and specificity were not measured."
    return [{"code": "threshold_by_hand", "sentence": sentence}]


def _age(stated: Stated, bundle: Bundle) -> list[_Check]:
    if bundle.ages is None:
        sentence = "The model does not state the ages of the patients that it learned from."
        return [(True, "training_ages_unknown", sentence)]
    low, high = bundle.ages
    unknown = (
        "The file does not tell the patient's age, or not clearly; "
        f"this model learned from patients of {low} to {high} years."
    )
    return [
        (_is_other_age(stated, bundle), "age_outside", f"The patient's age is outside the {_ages(bundle)}."),
        (stated.is_aged(low, high) is None, "age_unknown", unknown),
    ]


def _is_other_age(stated: Stated, bundle: Bundle) -> bool:
    return bundle.ages is not None and stated.is_aged(*bundle.ages) is False


def _ages(bundle: Bundle) -> str:
    low, high = bundle.ages or (0, 0)
    return f"ages of the patients that this model learned from ({low} to {high} years)"


def _exposure(seen: Appearance, bundle: Bundle) -> list[_Check]:
    """Brightness and contrast outside those of validation films, which older bundles do not state; clipped pixels."""
    limits = bundle.manifest["refusal"].get("exposure", {})
    dark, bright = limits.get("mean", (0, 1))
    flat, hard = limits.get("spread", (0, 1))
    films = "nearly all films on which this model was measured"
    return [
        (seen.mean < dark, "too_dark", f"The picture is darker than {films}: badly exposed or windowed."),
        (seen.mean > bright, "too_bright", f"The picture is brighter than {films}: badly exposed or windowed."),
        (seen.spread < flat, "low_contrast", f"The picture has less contrast than {films}."),
        (seen.spread > hard, "high_contrast", f"The picture has more contrast than {films}."),
        (
            seen.black > BLACK_LIMIT,
            "clipped_black",
            f"More than {BLACK_LIMIT:.0%} of the picture is pure black: a wide border, or badly windowed.",
        ),
        (
            seen.white > WHITE_LIMIT,
            "clipped_white",
            f"More than {WHITE_LIMIT:.0%} of the picture is pure white: labels, or badly windowed.",
        ),
    ]
