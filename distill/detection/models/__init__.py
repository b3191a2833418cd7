"""Detectors, students and teachers alike."""

from distill.detection.models.detector import Detections, Detector
from distill.detection.models.registry import DETECTORS, build, check, from_pretrained, save

__all__ = ["DETECTORS", "Detections", "Detector", "build", "check", "from_pretrained", "save"]
