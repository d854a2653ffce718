"""A part that lies on an even background and fills little of its picture."""

import cv2
import numpy as np

WIDTH, HEIGHT = 640, 480
LEFT, TOP, RIGHT, BOTTOM = 0.4, 0.35, 0.7, 0.65
"""The part's place, in fractions: 9 % of the picture."""
PART = ((LEFT, TOP), (RIGHT, TOP), (RIGHT, BOTTOM), (LEFT, BOTTOM))


def bare_part(shift=(0, 0), noise=0):
    """(h, w) uint8: a plate with marks on it, moved by `shift` pixels."""
    image = np.full((HEIGHT, WIDTH), 40, np.uint8)
    x, y = shift
    corners = [(round(LEFT * WIDTH) + x, round(TOP * HEIGHT) + y)]
    corners.append((round(RIGHT * WIDTH) - 1 + x, round(BOTTOM * HEIGHT) - 1 + y))
    cv2.rectangle(image, *corners, 170, -1)
    for number in range(6):
        at = (corners[0][0] + 20 + 27 * number, corners[0][1] + 25 + 17 * (number * 3 % 6))
        cv2.circle(image, at, 7, 90, -1)
    if noise:
        drawn = np.random.default_rng(noise).normal(0, 3, image.shape)
        image = np.clip(image + drawn, 0, 255).astype(np.uint8)
    return image


def box(left, top, right, bottom):
    return ((left, top), (right, top), (right, bottom), (left, bottom))


HIDES_THE_PART = box(LEFT, TOP, LEFT + 0.92 * (RIGHT - LEFT), BOTTOM)
"""Nine tenths of the part, and less than a tenth of the picture."""


def regions(*polygons):
    return [{"points": [list(p) for p in polygon]} for polygon in polygons]
