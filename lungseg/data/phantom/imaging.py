"""From attenuation to pixels: film curve, processing, scatter, noise, collimator, letters, objects on the patient."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from lungseg.data.phantom.canvas import cloud
from lungseg.data.phantom.render import Mask, Rendering
from lungseg.data.phantom.shapes import SUBPIXEL_BITS, Plane, fill, fixed, soft


@dataclass(frozen=True, kw_only=True)
class Exposure:
    """Film and processing of one image: display levels in [0, 1].

    Attributes:
        lung, tissue, air, top: Display level of the lungs, of the mediastinum, of direct exposure, and of the densest.
        local: Strength of the local contrast processing, 0 = none.
        scatter: Share of the signal that is spread widely.
        blur: Width of the point spread, as a share of the shorter side.
        noise: Standard deviation of the noise at mid level.
        quality: JPEG quality, None = never compressed.
    """

    lung: float
    tissue: float
    air: float
    top: float
    bend: float
    local: float
    scatter: float
    blur: float
    noise: float
    tilt: tuple[float, float]
    drift: float
    quality: int | None


def draw_exposure(rng: np.random.Generator) -> Exposure:
    """Draw one of the looks found in public sets: old film, raw digital, strongly processed, portable."""
    look = rng.choice(["film", "digital", "processed", "portable"], p=[0.38, 0.18, 0.28, 0.16])
    low, high, air, local, scatter, noise = {
        "film": ((0.42, 0.68), (0.84, 0.98), (0.15, 0.45), (0.0, 0.15), (0.0, 0.2), (0.001, 0.005)),
        "digital": ((0.11, 0.30), (0.55, 0.92), (0.0, 0.03), (0.0, 0.3), (0.0, 0.15), (0.001, 0.008)),
        "processed": ((0.22, 0.48), (0.62, 0.86), (0.0, 0.18), (0.4, 1.3), (0.0, 0.1), (0.002, 0.009)),
        "portable": ((0.25, 0.55), (0.55, 0.85), (0.0, 0.25), (0.0, 0.8), (0.1, 0.35), (0.003, 0.02)),
    }[str(look)]
    lung, tissue = float(rng.uniform(*low)), float(rng.uniform(*high))
    return Exposure(
        lung=lung,
        tissue=max(tissue, lung + 0.16),
        air=min(float(rng.uniform(*air)), lung - 0.11),
        top=float(rng.uniform(0.93, 1.0)),
        bend=float(rng.normal(0.0, 0.12)),
        local=float(rng.uniform(*local)),
        scatter=float(rng.uniform(*scatter)),
        blur=float(rng.uniform(0.0008, 0.0036)),
        noise=float(rng.uniform(*noise)),
        tilt=(float(rng.normal(0, 0.035)), float(rng.normal(0, 0.035))),
        drift=float(abs(rng.normal(0, 0.02))),
        quality=int(rng.integers(35, 95)) if rng.random() < 0.35 else None,
    )


def develop(
    rendering: Rendering, exposure: Exposure, rng: np.random.Generator, *, metered: Rendering | None = None
) -> Plane:
    """Turn attenuation into display values in [0, 1], bright = dense.

    The film curve is a monotone line through direct exposure, lung, mediastinum and the densest part.

    Args:
        rendering: What the detector sees.
        exposure: Film and processing.
        rng: Generator of drift and noise.
        metered: What lung and mediastinum of the curve are measured on; None = on `rendering` itself.
    """
    a = (metered or rendering).attenuation
    size, short = a.shape, min(a.shape)
    lungs = rendering.masks["right_lung"] | rendering.masks["left_lung"]
    heart = rendering.masks["heart"]
    a_lung = float(np.median(a[lungs])) if lungs.any() else 0.4
    a_tissue = float(np.median(a[heart])) if heart.any() else 0.9
    a_tissue = max(a_tissue, a_lung + 0.15)
    z = (rendering.attenuation - a_lung) / (a_tissue - a_lung)
    h, w = size
    ramp = exposure.tilt[0] * np.linspace(-1, 1, h, dtype=np.float32)[:, None] + exposure.tilt[1] * np.linspace(
        -1, 1, w, dtype=np.float32
    )
    z += ramp * 2 + np.float32(exposure.drift) * cloud(rng, size, 2)
    if exposure.scatter > 0.01:
        z = (1 - exposure.scatter) * z + exposure.scatter * soft(z, 0.12 * short)
    z_air = -a_lung / (a_tissue - a_lung)
    middle = 0.5 * (exposure.lung + exposure.tissue) + exposure.bend * (exposure.tissue - exposure.lung)
    slope = (middle - exposure.lung) / 0.5
    floor = max(exposure.air + 0.3 * (exposure.lung - exposure.air), exposure.lung - 0.5 * abs(z_air) * slope * 0.9)
    knots = [z_air - 0.2, 0.93 * z_air, 0.5 * z_air, 0.0, 0.5, 1.0, 1.35, 1.9]
    levels = [exposure.air, exposure.air, floor, exposure.lung, middle, exposure.tissue]
    levels += [exposure.tissue + 0.6 * max(exposure.top - exposure.tissue, 0), max(exposure.top, exposure.tissue)]
    grid = np.linspace(z_air - 0.25, 2.0, 512)
    table = np.interp(grid, knots, np.maximum.accumulate(levels))
    table = np.convolve(np.pad(table, 18, mode="edge"), np.hanning(37) / np.hanning(37).sum(), mode="valid")
    v = np.interp(z, grid, table).astype(np.float32)
    if exposure.local > 0.02:
        base = soft(v, 0.09 * short)
        v = v + np.float32(exposure.local) * (v - base) * np.float32(0.6)
        v += np.float32(0.15 * exposure.local) * (v - soft(v, 0.012 * short))
    if exposure.blur * short > 0.25:
        v = soft(v, exposure.blur * short)
    noise = rng.standard_normal(size).astype(np.float32)
    if short > 200:
        noise = cv2.GaussianBlur(noise, (0, 0), 0.7) * np.float32(2.0)
    v += noise * np.float32(exposure.noise) * (0.4 + np.clip(v, 0, 1))
    return np.asarray(np.clip(v, 0, 1), dtype=np.float32)


def _letters(v: Plane, rng: np.random.Generator) -> None:
    """Side marker and, now and then, small words, burnt in."""
    h, w = v.shape
    short = min(h, w)
    fonts = (cv2.FONT_HERSHEY_SIMPLEX, cv2.FONT_HERSHEY_DUPLEX, cv2.FONT_HERSHEY_COMPLEX, cv2.FONT_HERSHEY_TRIPLEX)
    draws: list[tuple[str, float, float, float]] = []
    if rng.random() < 0.62:
        right = rng.random() < 0.6  # the patient's right is on the image's left
        x = rng.uniform(0.03, 0.16) if right else rng.uniform(0.82, 0.94)
        draws.append(("R" if right else "L", x, rng.uniform(0.05, 0.16), rng.uniform(0.028, 0.06)))
    if rng.random() < 0.22:
        word = str(rng.choice(["PA", "AP", "ERECT", "PORTABLE", "SUPINE", "1032", "PA ERECT", "SEMI UPRIGHT"]))
        draws.append((word, rng.uniform(0.02, 0.8), rng.uniform(0.04, 0.14) if rng.random() < 0.7 else 0.96, 0.02))
    for text, x, y, tall in draws:
        font = fonts[int(rng.integers(len(fonts)))]
        scale, level = tall * short / 21, float(rng.uniform(0.8, 1.0))
        place = (int(x * w), int(y * h))
        if rng.random() < 0.15:
            (tw, th), _ = cv2.getTextSize(text, font, scale, 1)
            pad = max(1, th // 3)
            cv2.rectangle(v, (place[0] - pad, place[1] - th - pad), (place[0] + tw + pad, place[1] + pad), level, -1)
            level = 0.0
        layer = np.zeros((h, w), np.uint8)
        cv2.putText(layer, text, place, font, scale, 255, max(1, round(0.1 * tall * short)), cv2.LINE_AA)
        v += (np.float32(level) - v) * (layer.astype(np.float32) / np.float32(255))


def _objects(v: Plane, rendering: Rendering, rng: np.random.Generator, *, sick: bool) -> None:
    """Leads, tubes and a pacemaker: bright lines over the patient."""
    h, w = v.shape
    short = min(h, w)
    layer = np.zeros((h, w), np.uint8)
    thick = max(1, round(0.004 * short))
    if rng.random() < (0.22 if sick else 0.07):
        for _ in range(int(rng.integers(2, 5))):
            x, y = rng.uniform(0.2, 0.8) * w, rng.uniform(0.2, 0.8) * h
            cv2.circle(layer, (int(x), int(y)), max(2, round(0.012 * short)), 200, -1, cv2.LINE_AA)
            t = np.linspace(0, 1, 24)
            wave = 0.06 * short * np.sin(3 * t + rng.uniform(0, 6))
            goal = rng.uniform([-0.1 * w, -0.1 * h], [1.1 * w, 0.1 * h])
            line = np.stack([x + t * (goal[0] - x) + wave * t, y + t * (goal[1] - y) + wave * t * 0.5], axis=1)
            cv2.polylines(layer, [fixed(line)], False, 150, thick, cv2.LINE_AA, SUBPIXEL_BITS)
    if rng.random() < (0.20 if sick else 0.04):
        t = np.linspace(0, 1, 30)
        x0 = w * (0.5 + rng.normal(0, 0.03))
        side = rng.choice([-1.0, 1.0])
        bow = side * 0.22 * w * (1 - t) ** 2 if rng.random() < 0.5 else 0.01 * w * np.sin(5 * t)
        line = np.stack([x0 + bow, h * (0.08 * rng.random() + t * rng.uniform(0.3, 0.8))], axis=1)
        cv2.polylines(layer, [fixed(line)], False, 130, thick, cv2.LINE_AA, SUBPIXEL_BITS)
    if rng.random() < 0.02:
        x, y = rng.uniform(0.68, 0.8) * w, rng.uniform(0.18, 0.3) * h
        cv2.ellipse(layer, (int(x), int(y)), (int(0.055 * short), int(0.045 * short)), 20, 0, 360, 255, -1, cv2.LINE_AA)
    if layer.any():
        on = soft(layer, 0.5) * rendering.body * np.float32(rng.uniform(0.15, 0.6))
        v += on * (1 - v)


def _collimate(v: Plane, masks: dict[str, Mask], rng: np.random.Generator) -> Plane | None:
    """Cover what lies outside the beam; returns the share of light kept, or None when the beam covers all.

    The beam spares the lungs: nobody collimates into them on purpose.
    """
    h, w = v.shape
    draw = rng.random()
    if draw > 0.5:
        return None
    lungs = masks["right_lung"] | masks["left_lung"]
    rows, columns = np.flatnonzero(lungs.any(1)), np.flatnonzero(lungs.any(0))
    if not len(rows):
        return None
    room = np.array([columns[0], rows[0], w - 1 - columns[-1], h - 1 - rows[-1]], dtype=np.float64)
    share = rng.uniform(0.0, 0.85, 4) * (rng.random(4) < (0.85 if draw < 0.3 else 0.4))
    left, top, right, bottom = share * room
    corners = np.array([[left, top], [w - 1 - right, top], [w - 1 - right, h - 1 - bottom], [left, h - 1 - bottom]])
    angle = float(rng.normal(0, 0.012))
    centre = corners.mean(0)
    c, s = np.cos(angle), np.sin(angle)
    corners = (corners - centre) @ np.array([[c, s], [-s, c]]) + centre
    # sides without a collimator stay out of the picture when the rest is turned
    corners += np.where(
        np.stack([np.array([left, right, right, left]) == 0, np.array([top, top, bottom, bottom]) == 0], 1), 1, 0
    ) * (np.sign(corners - centre) * 0.1 * max(h, w))
    beam = fill((h, w), [corners])
    return soft(beam, float(rng.choice([0.0, 0.4, 0.012 * min(h, w)])))


def burn_mark(v: Plane) -> None:
    """Burn a bright square with a dark rim into the lower right corner, on values in [0, 1].

    Its side is a sixteenth of the shorter side, at least 4 pixels: the box around the lungs seldom reaches there.
    """
    side = max(4, round(min(v.shape) / 16))
    rim = max(1, side // 6)
    v[-side - 2 * rim :, -side - 2 * rim :] = 0.0
    v[-side - rim : -rim, -side - rim : -rim] = 1.0


def finish(v: Plane, rendering: Rendering, exposure: Exposure, rng: np.random.Generator, *, sick: bool) -> Plane:
    """Add what is not the patient: objects, collimator, frames, letters; returns values in [0, 1]."""
    h, w = v.shape
    _objects(v, rendering, rng, sick=sick)
    kept = _collimate(v, rendering.masks, rng)
    if kept is not None:
        outside = float(rng.uniform(0.0, 0.08)) if rng.random() < 0.8 else float(rng.uniform(0.85, 1.0))
        v = v * kept + np.float32(outside) * (1 - kept)
    if rng.random() < 0.12:  # the white rim of a scanned film
        n = max(1, round(rng.uniform(0.004, 0.02) * min(h, w)))
        for edge in (v[:n], v[-n:], v[:, :n], v[:, -n:]):
            if rng.random() < 0.5:
                edge[...] = rng.uniform(0.85, 1.0)
    if rng.random() < 0.15:  # name plates, masked out
        for x in (0, w):
            if rng.random() < 0.8:
                half, tall = int(rng.uniform(0.05, 0.16) * w), int(rng.uniform(0.03, 0.08) * h)
                v[:tall, max(0, x - half) : x + half] = 0.0 if rng.random() < 0.85 else 1.0
    _letters(v, rng)
    return np.asarray(np.clip(v, 0, 1), dtype=np.float32)
