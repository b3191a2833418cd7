"""Detectors, students and teachers alike."""

from distill.detection.models.detector import Detections, Detector

__all__ = ["Detections", "Detector"]
