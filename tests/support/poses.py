"""Pictures turned, scaled, moved and seen from the side."""

import cv2
import numpy as np


def pose_matrix(shape, turn, scale, shift, side=(0.0, 0.0)) -> np.ndarray:
    """(3, 3) from a golden image's pixels to the frame's: turned by degrees, clockwise, and scaled
    about the middle, moved, with a little perspective (`side`, per pixel).
    """
    h, w = shape[:2]
    middle = np.array([(w - 1) / 2, (h - 1) / 2])
    c, s = scale * np.cos(np.radians(turn)), scale * np.sin(np.radians(turn))
    there = np.array([[1, 0, middle[0] + shift[0]], [0, 1, middle[1] + shift[1]], [0, 0, 1.0]])
    turned = np.array([[c, -s, 0], [s, c, 0], [side[0], side[1], 1.0]])
    back = np.array([[1, 0, -middle[0]], [0, 1, -middle[1]], [0, 0, 1.0]])
    matrix = there @ turned @ back
    return matrix / matrix[2, 2]


def laid(image: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """`image` as `matrix` has it, on its own middle grey."""
    h, w = image.shape
    ground = int(np.median(image))
    return cv2.warpPerspective(image, matrix, (w, h), borderValue=ground)
