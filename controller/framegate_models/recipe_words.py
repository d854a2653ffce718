"""A recipe in words: what will be done with a frame, for whoever signs it."""

from __future__ import annotations

from framegate_gateway.inference.layouts import Kind
from framegate_gateway.inference.recipe import Recipe


def words_of(recipe: Recipe, frame: tuple[int, int]) -> tuple[str, ...]:
    """Sentences on what the recipe does with a frame of (width, height) pixels."""
    return (*_input_words(recipe, frame), *_output_words(recipe), *_verdict_words(recipe))


def _input_words(recipe: Recipe, frame: tuple[int, int]) -> tuple[str, ...]:
    given = recipe.picture_input
    how = (
        "stretched" if given.fit == "stretch" else f"shrunk or grown, with grey {given.fill} beside"
    )
    pixel = max(frame[0] / given.width, frame[1] / given.height)
    colour = {"rgb": "in colour", "bgr": "in colour, blue first", "grey": "in grey"}[given.colour]
    values = "as the frame has them"
    if given.type == "float32":
        mean, deviation = (
            ", ".join(f"{v:g}" for v in row) for row in (given.mean, given.deviation)
        )
        values = f"divided by {given.divide:g}, less {mean}, by {deviation}"
    place = (
        "A frame must lie like the part's golden image, by 24 pixels at most."
        if recipe.place == "registered"
        else "A frame may show any place: light and focus alone are held against the golden image."
    )
    return (
        place,
        f"The network sees {given.width}x{given.height} pixels {colour}: a frame of"
        f" {frame[0]}x{frame[1]} is {how}; one of its pixels is {pixel:.1f} of the frame's.",
        f"Values are {values}.",
    )


def _output_words(recipe: Recipe) -> tuple[str, ...]:
    given = recipe.picture_output
    names = ", ".join(tensor.name for tensor in given.tensors)
    said = [f"Its outputs {names} are read as {given.layout}: {recipe.layout.words}."]
    if given.activation != "none":
        said.append(f"Numbers become probabilities by {given.activation}.")
    if recipe.kind == Kind.DETECTION:
        first = "" if given.first_label == 0 else f"; class {given.first_label} is the first"
        said.append(f"Boxes are {given.box} in {given.units}{first}.")
    if recipe.kind == Kind.ANOMALY and given.range != (0.0, 1.0):
        said.append(f"Scores from {given.range[0]:g} to {given.range[1]:g} become 0 to 1.")
    return tuple(said)


def _verdict_words(recipe: Recipe) -> tuple[str, ...]:
    least, given = recipe.threshold, recipe.picture_output
    bad = ", ".join(recipe.defects)
    said = {
        Kind.DETECTION: f"A box of {bad} from {least:.2f} on is a defect.",
        Kind.CLASSIFICATION: f"A frame that is {bad} by {least:.2f} or more is a defect.",
        Kind.SEGMENTATION: f"A region of {bad} from {least:.2f} on, of {given.least_px} pixels of"
        " the map or more, is a defect.",
        Kind.ANOMALY: f"A score from {least:.2f} on, or heat from {given.heat_threshold:.2f} on in"
        f" {given.least_px} pixels of the map, is a defect.",
    }[recipe.kind]
    good = f" What is {', '.join(recipe.good)} is none." if recipe.good else ""
    return (
        said + good,
        "Numbers that cannot be meant (NaN, huge ones, other shapes) leave the frame UNINSPECTED.",
    )
