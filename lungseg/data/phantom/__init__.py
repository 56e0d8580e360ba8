"""A procedural generator of frontal chest radiographs with exact masks: see `generator.Phantom`."""

from __future__ import annotations
