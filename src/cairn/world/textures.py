"""What a material looks like at one point: procedural patterns, evaluated per sample.

A material is a row of 16 numbers (`cairn.world.materials`): pattern, three linear colours, cell
width and height in metres, two parameters, a seed and a gloss. Patterns fade to their mean colour
where one cell is smaller than a sample, so that far walls do not flicker.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cairn.compiled import compiled


@compiled
def scatter(i: int, j: int, seed: int) -> float:
    """Return a number in [0, 1) that depends on nothing but (i, j, seed)."""
    h = (i * 374761393 + j * 668265263 + seed * 982451653) & 0xFFFFFFFF
    h = ((h ^ (h >> 13)) * 1274126177) & 0xFFFFFFFF
    h = ((h ^ (h >> 15)) * 668265263) & 0xFFFFFFFF
    return (h ^ (h >> 16)) / 4294967296.0


@compiled
def cloudy(noise: Any, x: float, y: float) -> float:
    """Return tileable smooth noise in [0, 1] at (x, y), in cells of the (256, 256) table."""
    fx, fy = np.floor(x), np.floor(y)
    i, j = int(fx), int(fy)
    a, b = x - fx, y - fy
    i0, i1, j0, j1 = i & 255, (i + 1) & 255, j & 255, (j + 1) & 255
    top = noise[j0, i0] + (noise[j0, i1] - noise[j0, i0]) * a
    low = noise[j1, i0] + (noise[j1, i1] - noise[j1, i0]) * a
    return float(top + (low - top) * b)


@compiled
def blend(m: Any, first: int, second: int, share: float) -> Any:
    """Return the colour that lies ``share`` of the way between two of a material's colours."""
    a, b = 3 * first - 2, 3 * second - 2
    return (
        m[a] + (m[b] - m[a]) * share,
        m[a + 1] + (m[b + 1] - m[a + 1]) * share,
        m[a + 2] + (m[b + 2] - m[a + 2]) * share,
    )


@compiled
def window(m: Any, u: float, v: float, seed: int) -> Any:
    """Return the share of wall, frame and pane at (u, v), and whether the pane is lit at night."""
    cu, cv = u / m[10], v / m[11]
    i, j = int(np.floor(cu)), int(np.floor(cv))
    x, y = abs(cu - i - 0.5) * 2.0, cv - j - 0.18
    wide, tall = m[12], m[13] % 1.0
    shape = int(m[13])
    lit = 1.0 if scatter(i, j, seed) < 0.45 else 0.0
    inside, frame = 0.0, 0.0
    if y > 0.0 and x < wide:
        edge = tall
        if shape == 1:
            edge = tall * (0.72 + 0.28 * np.sqrt(max(0.0, 1.0 - (x / wide) ** 2)))
        elif shape == 2:
            edge = tall * (1.0 - 0.5 * x / wide)
        if y < edge:
            inside = 1.0
            bar = min(wide - x, (edge - y) * 2.0)
            if bar < 0.14 or x < 0.05 or abs(y - tall * 0.55) < 0.025:
                frame = 1.0
    elif y > -0.06 and y <= 0.0 and x < wide + 0.1:
        frame, inside = 1.0, 1.0
    return inside, frame, lit


@compiled
def surface(
    m: Any, u: float, v: float, x: float, y: float, z: float, foot: float, noise: Any
) -> Any:
    """Return (red, green, blue, light given off at night, gloss) of material ``m`` at a point.

    Args:
        m: (16,) the material's row.
        u: Texture coordinate along, metres.
        v: Texture coordinate up, metres.
        x: Position, metres; solid patterns use it.
        y: Position.
        z: Position.
        foot: The width of a sample on the surface, metres.
        noise: (256, 256) float32 tileable noise.
    """
    kind, seed = int(m[0]), int(m[14])
    su, sv, a = m[10], m[11], m[12]
    keep = min(1.0, max(0.0, 1.6 - 1.8 * foot / min(su, sv)))
    stain = 0.8 + 0.4 * cloudy(noise, (x + y) * 2.3 + seed * 7.0, (z + x - y) * 1.9 + seed)
    shade, glow, gloss = 1.0, 0.0, m[15]
    r, g, b = m[1], m[2], m[3]
    if kind == 1:
        j = int(np.floor(v / sv))
        along = u / su + 0.5 * (j & 1)
        i = int(np.floor(along))
        tone = scatter(i, j, seed)
        r, g, b = blend(m, 1, 2, tone * a + (1.0 - keep) * (0.5 - tone) * a)
        joint = min((v / sv - j) * sv, (along - i) * su)
        if joint < m[13]:
            share = keep * 0.85
            r, g, b = r + (m[7] - r) * share, g + (m[8] - g) * share, b + (m[9] - b) * share
    elif kind == 2:
        place = v / sv - np.floor(v / sv)
        r, g, b = blend(m, 1, 2, (1.0 if place < a else 0.0) * keep + a * (1.0 - keep))
    elif kind == 3:
        inside, frame, lit = window(m, u, v, seed)
        floor = v / sv - np.floor(v / sv)
        if floor > 0.93:
            shade = 1.0 - 0.25 * keep
        cover = inside * keep + (1.0 - keep) * m[12] * 0.55
        glass = cover * (1.0 - frame * keep)
        r, g, b = blend(m, 1, 2, cover)
        r, g, b = r + (m[7] - r) * glass, g + (m[8] - g) * glass, b + (m[9] - b) * glass
        glow = glass * lit
        gloss = 0.55 * glass
        stain = 1.0 + (stain - 1.0) * (1.0 - glass)
    elif kind == 4:
        i, j = int(np.floor(u / su)), int(np.floor(v / sv))
        r, g, b = blend(m, 1, 2, (1.0 if (i + j) & 1 else 0.0) * keep + 0.5 * (1.0 - keep))
    elif kind == 5:
        j = int(np.floor(v / sv))
        along = u / su + 0.5 * (j & 1)
        i = int(np.floor(along))
        drop = 1.0 - (v / sv - j)
        r, g, b = blend(m, 1, 2, scatter(i, j, seed) * a)
        shade = 1.0 - keep * 0.45 * drop * (0.4 + 2.4 * (along - i - 0.5) ** 2)
    elif kind == 6:
        wave = np.sin(u / su * 6.2831853)
        shade = 1.0 - keep * 0.3 * (0.5 - 0.5 * wave)
        r, g, b = blend(m, 1, 2, a * (0.5 + 0.5 * wave) * keep)
    elif kind == 7:
        layer = z / sv + 2.2 * cloudy(noise, x * 3.0 / su + seed, y * 3.0 / su + z * 0.6 / su)
        j = int(np.floor(layer))
        r, g, b = blend(m, 1, 2, scatter(j, 3, seed))
        if scatter(j, 5, seed) < a:
            r, g, b = m[7], m[8], m[9]
        crack = cloudy(noise, x * 17.0 / su + y * 13.0 / su, z * 11.0 / su + seed)
        shade = 0.62 + 0.76 * crack
    elif kind == 8:
        p, q = u / su + v / sv, u / su - v / sv
        i, j = int(np.floor(p)), int(np.floor(q))
        rim = min(min(p - i, i + 1 - p), min(q - j, j + 1 - q))
        r, g, b = blend(m, 1, 2, (1.0 if (i + j) & 1 else 0.0) * keep + 0.5 * (1.0 - keep))
        if rim < a:
            r, g, b = r + (m[7] - r) * keep, g + (m[8] - g) * keep, b + (m[9] - b) * keep
    elif kind == 9:
        p, q = u / su, v / sv
        i, j = int(np.floor(p)), int(np.floor(q))
        best, pick = 9.0, 0.0
        for di in range(-1, 2):
            for dj in range(-1, 2):
                px = i + di + scatter(i + di, j + dj, seed) - p
                py = j + dj + scatter(i + di, j + dj, seed + 1) - q
                near = px * px + py * py
                if near < best:
                    best, pick = near, scatter(i + di, j + dj, seed + 2)
        if pick < 0.45:
            r, g, b = m[1], m[2], m[3]
        elif pick < 0.8:
            r, g, b = m[4], m[5], m[6]
        else:
            r, g, b = m[7], m[8], m[9]
        shade = 0.8 + 0.4 * pick
    elif kind == 10:
        p, q = u / su, v / sv
        i, j = int(np.floor(p)), int(np.floor(q))
        rim = min((p - i) * su, (q - j) * sv)
        r, g, b = blend(m, 1, 2, scatter(i, j, seed) * a * keep)
        glow = 1.0 if scatter(i, j, seed + 9) < 0.35 else 0.0
        if rim < m[13]:
            r, g, b = r + (m[7] - r) * keep, g + (m[8] - g) * keep, b + (m[9] - b) * keep
            glow = 0.0
        glow = glow * keep + 0.3 * (1.0 - keep)
    elif kind == 11:
        leaf = cloudy(noise, (x + z * 0.7) * 19.0 / su + seed, (y + z) * 19.0 / su)
        r, g, b = blend(m, 1, 2, leaf)
        shade = 0.45 + 1.1 * leaf
    elif kind == 12:
        p, q = u / su, v / sv
        i, j = int(np.floor(p)), int(np.floor(q))
        r, g, b = blend(m, 1, 2, scatter(i, j, seed) * a * keep + 0.5 * a * (1.0 - keep))
        if min((p - i) * su, (q - j) * sv) < m[13]:
            r, g, b = r + (m[7] - r) * keep, g + (m[8] - g) * keep, b + (m[9] - b) * keep
    elif kind == 13:
        blade = cloudy(noise, x * 9.0 / su + seed, y * 9.0 / su)
        patch = cloudy(noise, x * 1.3 / su, y * 1.3 / su + seed)
        r, g, b = blend(m, 1, 2, patch * a)
        shade = 0.7 + 0.6 * (blade * keep + 0.5 * (1.0 - keep))
    elif kind == 15:
        far = np.sqrt(u * u + v * v) / su
        ring = far - np.floor(far)
        r, g, b = blend(m, 1, 2, (1.0 if ring < a else 0.0) * keep + a * (1.0 - keep))
    shade *= stain
    return r * shade, g * shade, b * shade, glow, gloss
