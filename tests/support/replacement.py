"""Replacements."""

CAM = "camera.line-1.cam1"


def row(bench):
    return bench.device(CAM)
