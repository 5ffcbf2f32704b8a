"""The colour of every pixel: materials, sun and shadow, sky, fog, snow, night light, exposure.

One kernel turns the visibility buffer of `cairn.world.raster` into a picture. Four samples make a
pixel; where all four see one triangle two are shaded, and one suffices for plain sky.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from cairn.compiled import compiled
from cairn.world.layout import (
    AMBIENT,
    BALANCE,
    BOUNCE,
    CLOUD_COVER,
    CLOUD_SCALE,
    CLOUD_X,
    CLOUD_Y,
    EDGE_KIND,
    EDGE_RADIUS,
    EDGE_X,
    EDGE_Y,
    EXPOSURE,
    FAR_GROUND,
    FLOOD,
    FOG,
    HORIZON,
    LEAF,
    NEAR_GROUND,
    NIGHT,
    SHADOW,
    SHADOW_REACH,
    SNOW,
    SUN,
    SUN_RGB,
    TALL,
    WETNESS,
    ZENITH,
)
from cairn.world.textures import cloudy, surface

FOLIAGE, GRASS, WATER = 11, 13, 14


@compiled
def sky(dx: float, dy: float, dz: float, light: Any, noise: Any) -> Any:
    """Return the linear colour of the sky in a direction."""
    up = max(dz, 0.0)
    rise = np.sqrt(up)
    r = light[HORIZON] + (light[ZENITH] - light[HORIZON]) * rise
    g = light[HORIZON + 1] + (light[ZENITH + 1] - light[HORIZON + 1]) * rise
    b = light[HORIZON + 2] + (light[ZENITH + 2] - light[HORIZON + 2]) * rise
    toward = dx * light[SUN] + dy * light[SUN + 1] + dz * light[SUN + 2]
    if toward > 0.0:
        halo = toward**16 * 0.22
        r += light[SUN_RGB] * halo
        g += light[SUN_RGB + 1] * halo
        b += light[SUN_RGB + 2] * halo
    if light[CLOUD_COVER] > 0.0:
        scale = light[CLOUD_SCALE] / (up + 0.15)
        x, y = dx * scale + light[CLOUD_X], dy * scale + light[CLOUD_Y]
        thick = cloudy(noise, x, y) * 0.75 + 0.25 * cloudy(noise, x * 3.7, y * 3.7)
        cover = min(1.0, max(0.0, (thick - 1.0 + light[CLOUD_COVER]) * 3.0))
        lit = 0.9 - 0.35 * cover * (1.0 - up)
        r += (lit * (light[AMBIENT] * 0.8 + light[SUN_RGB] * 0.35) - r) * cover
        g += (lit * (light[AMBIENT + 1] * 0.8 + light[SUN_RGB + 1] * 0.35) - g) * cover
        b += (lit * (light[AMBIENT + 2] * 0.8 + light[SUN_RGB + 2] * 0.35) - b) * cover
    return r, g, b


@compiled
def sunlit(x: float, y: float, z: float, frame: Any, depth: Any, reach: float, slack: float) -> Any:
    """Return the share of sunlight that reaches a point, from four looks into the shadow map."""
    size = depth.shape[0]
    u = frame[0, 0] * x + frame[0, 1] * y + frame[0, 2] * z
    v = frame[1, 0] * x + frame[1, 1] * y + frame[1, 2] * z
    here = frame[2, 0] * x + frame[2, 1] * y + frame[2, 2] * z + slack
    fu = (u + reach) * size / (2.0 * reach) - 0.5
    fv = (v + reach) * size / (2.0 * reach) - 0.5
    if fu < 0.0 or fv < 0.0 or fu >= size - 1.0 or fv >= size - 1.0:
        return 1.0
    i, j = int(fu), int(fv)
    a, b = fu - i, fv - j
    open_00 = 1.0 if depth[j, i] < here else 0.0
    open_01 = 1.0 if depth[j, i + 1] < here else 0.0
    open_10 = 1.0 if depth[j + 1, i] < here else 0.0
    open_11 = 1.0 if depth[j + 1, i + 1] < here else 0.0
    return (open_00 * (1 - a) + open_01 * a) * (1 - b) + (open_10 * (1 - a) + open_11 * a) * b


@compiled
def develop(
    corners: Any,
    normals: Any,
    uvs: Any,
    rows: Any,
    materials: Any,
    eye: Any,
    axes: Any,
    half_x: float,
    half_y: float,
    seen: Any,
    planes: Any,
    light: Any,
    frame: Any,
    depth: Any,
    noise: Any,
    picture: Any,
) -> None:
    """Write the picture, sRGB in [0, 1].

    Args:
        corners: (T, 3, 3) float64 positions; normals (T, 3, 3); uvs (T, 3, 2).
        normals: See corners.
        uvs: See corners.
        rows: (T,) int32 material of each triangle.
        materials: (M, 16) float64.
        eye: (3,) camera position.
        axes: (3, 3) camera axes in rows.
        half_x: Tangent of half the horizontal angle of view.
        half_y: The same, vertical.
        seen: (2 H, 2 W) int32 of `rasterize`.
        planes: (T, 9) float64 of `rasterize`.
        light: (LIGHT_LENGTH,) float64.
        frame: (3, 3) axes of the shadow map.
        depth: (S, S) float32 shadow map.
        noise: (256, 256) float32.
        picture: (H, W, 3) float32, written.
    """
    height, width = picture.shape[0], picture.shape[1]
    step_x, step_y = half_x / width, half_y / height
    texel = 2.0 * light[SHADOW_REACH] / depth.shape[0]
    for row in range(height):
        for column in range(width):
            first = seen[2 * row, 2 * column]
            same = (
                first == seen[2 * row, 2 * column + 1]
                and first == seen[2 * row + 1, 2 * column]
                and first == seen[2 * row + 1, 2 * column + 1]
            )
            count = 4
            if same:
                count = 1 if first == -2 else 2
            red, green, blue = 0.0, 0.0, 0.0
            for sample in range(count):
                # Two samples lie on the diagonal, four in the corners.
                sub_x = sample & 1
                sub_y = sample if count == 2 else sample >> 1
                sx, sy = 2 * column + sub_x, 2 * row + sub_y
                px = -half_x + (sx + 0.5) * step_x
                py = -half_y + (sy + 0.5) * step_y
                dx = axes[0, 0] * px + axes[1, 0] * py + axes[2, 0]
                dy = axes[0, 1] * px + axes[1, 1] * py + axes[2, 1]
                dz = axes[0, 2] * px + axes[1, 2] * py + axes[2, 2]
                size = np.sqrt(dx * dx + dy * dy + dz * dz)
                t = seen[sy, sx]
                if t == -2:
                    r, g, b = sky(dx / size, dy / size, dz / size, light, noise)
                    red, green, blue = red + r, green + g, blue + b
                    continue
                if t == -1:
                    far = min(-eye[2] / dz, 1e5)
                    nx, ny, nz = 0.0, 0.0, 1.0
                    x, y, z = eye[0] + far * dx, eye[1] + far * dy, 0.0
                    u, v = x, y
                    if light[EDGE_KIND] == 0.0:
                        edge = np.sqrt(x * x + y * y) - light[EDGE_RADIUS]
                    else:
                        edge = x * light[EDGE_X] + y * light[EDGE_Y] - light[EDGE_RADIUS]
                    edge += 0.12 * light[EDGE_RADIUS] * (cloudy(noise, x * 0.9, y * 0.9) - 0.5)
                    m = int(light[NEAR_GROUND] if edge < 0.0 else light[FAR_GROUND])
                else:
                    b0 = planes[t, 0] * sx + planes[t, 1] * sy + planes[t, 2]
                    b1 = planes[t, 3] * sx + planes[t, 4] * sy + planes[t, 5]
                    b2 = planes[t, 6] * sx + planes[t, 7] * sy + planes[t, 8]
                    far = 1.0 / (b0 + b1 + b2)
                    b0, b1, b2 = b0 * far, b1 * far, b2 * far
                    x, y, z = eye[0] + far * dx, eye[1] + far * dy, eye[2] + far * dz
                    nx = b0 * normals[t, 0, 0] + b1 * normals[t, 1, 0] + b2 * normals[t, 2, 0]
                    ny = b0 * normals[t, 0, 1] + b1 * normals[t, 1, 1] + b2 * normals[t, 2, 1]
                    nz = b0 * normals[t, 0, 2] + b1 * normals[t, 1, 2] + b2 * normals[t, 2, 2]
                    u = b0 * uvs[t, 0, 0] + b1 * uvs[t, 1, 0] + b2 * uvs[t, 2, 0]
                    v = b0 * uvs[t, 0, 1] + b1 * uvs[t, 1, 1] + b2 * uvs[t, 2, 1]
                    m = rows[t]
                    long = np.sqrt(nx * nx + ny * ny + nz * nz) + 1e-9
                    facing = -1.0 if nx * dx + ny * dy + nz * dz > 0.0 else 1.0
                    nx, ny, nz = nx * facing / long, ny * facing / long, nz * facing / long
                away = far * size
                slant = abs(nx * dx + ny * dy + nz * dz) / size
                foot = far * 2.0 * step_x / max(slant, 0.15)
                kind = int(materials[m, 0])
                if kind == WATER:
                    ripple = 0.18 / (1.0 + away * 0.02)
                    wx = (cloudy(noise, x * 2.3, y * 5.1) - 0.5) * ripple
                    wy = (cloudy(noise, y * 4.7, x * 2.1) - 0.5) * ripple
                    mirror = max(0.02, -dz / size + 2.0 * wx)
                    r, g, b = sky(dx / size + wx, dy / size + wy, mirror, light, noise)
                    share = 0.25 + 0.7 * (1.0 - slant) ** 3
                    r = materials[m, 1] * light[AMBIENT] * (1 - share) + r * share
                    g = materials[m, 2] * light[AMBIENT + 1] * (1 - share) + g * share
                    b = materials[m, 3] * light[AMBIENT + 2] * (1 - share) + b * share
                else:
                    cr, cg, cb, glow, gloss = surface(materials[m], u, v, x, y, z, foot, noise)
                    if kind in (FOLIAGE, GRASS):
                        cr, cg, cb = cr * light[LEAF], cg * light[LEAF + 1], cb * light[LEAF + 2]
                    if light[SNOW] > 0.0 and nz > 0.25 and gloss < 0.4:
                        drift = cloudy(noise, x * 2.9 + 31.0, y * 2.9 + z)
                        white = min(1.0, max(0.0, (light[SNOW] * 1.6 + nz - 1.0 - drift) * 3.0))
                        cr, cg, cb = (
                            cr + (0.82 - cr) * white,
                            cg + (0.85 - cg) * white,
                            cb + (0.9 - cb) * white,
                        )
                    if t == -1:
                        dull = 1.0 - 0.35 * light[WETNESS]
                        cr, cg, cb = cr * dull, cg * dull, cb * dull
                    direct = nx * light[SUN] + ny * light[SUN + 1] + nz * light[SUN + 2]
                    if kind == FOLIAGE:
                        direct = 0.35 + 0.65 * direct
                    if direct > 0.0:
                        slack = texel * (1.2 + 1.5 * (1.0 - min(direct, 1.0)))
                        pass_share = sunlit(x, y, z, frame, depth, light[SHADOW_REACH], slack)
                        direct *= 1.0 - light[SHADOW] * (1.0 - pass_share)
                    else:
                        direct = 0.0
                    upward = 0.5 + 0.5 * nz
                    hollow = 0.62 + 0.38 * min(1.0, max(0.0, z / 2.5)) if t >= 0 else 0.9
                    lr = direct * light[SUN_RGB] + hollow * (
                        light[AMBIENT] * upward + light[BOUNCE] * (1.0 - upward)
                    )
                    lg = direct * light[SUN_RGB + 1] + hollow * (
                        light[AMBIENT + 1] * upward + light[BOUNCE + 1] * (1.0 - upward)
                    )
                    lb = direct * light[SUN_RGB + 2] + hollow * (
                        light[AMBIENT + 2] * upward + light[BOUNCE + 2] * (1.0 - upward)
                    )
                    near = x * x + y * y
                    reach = light[TALL] * light[TALL]
                    if light[NIGHT] > 0.0 and near < 2.0 * reach:
                        lamp = light[NIGHT] * max(0.15, 1.0 - z / (1.3 * light[TALL]))
                        lamp *= (0.25 + 0.75 * (1.0 - abs(nz))) if t >= 0 else 0.25
                        lamp *= 1.0 - near / (2.0 * reach)
                        lr += light[FLOOD] * lamp
                        lg += light[FLOOD + 1] * lamp
                        lb += light[FLOOD + 2] * lamp
                    r, g, b = cr * lr, cg * lg, cb * lb
                    if gloss > 0.0:
                        bend = 2.0 * (nx * dx + ny * dy + nz * dz) / size
                        mx, my, mz = (
                            dx / size - bend * nx,
                            dy / size - bend * ny,
                            dz / size - bend * nz,
                        )
                        qr, qg, qb = sky(mx, my, mz, light, noise)
                        share = gloss * (0.25 + 0.75 * (1.0 - slant) ** 3)
                        r, g, b = r + (qr - r) * share, g + (qg - g) * share, b + (qb - b) * share
                    if glow > 0.0:
                        lamp = glow * light[NIGHT]
                        r, g, b = r + 0.9 * lamp, g + 0.62 * lamp, b + 0.28 * lamp
                veil = 1.0 - np.exp(-away * light[FOG])
                red += r + (light[HORIZON] - r) * veil
                green += g + (light[HORIZON + 1] - g) * veil
                blue += b + (light[HORIZON + 2] - b) * veil
            gain = light[EXPOSURE] / count
            picture[row, column, 0] = film(red * gain * light[BALANCE])
            picture[row, column, 1] = film(green * gain * light[BALANCE + 1])
            picture[row, column, 2] = film(blue * gain * light[BALANCE + 2])


@compiled
def film(value: float) -> float:
    """Return the display value of linear light: soft shoulder, then gamma."""
    bright = max(value, 0.0)
    return float(np.sqrt(bright * (1.0 + bright * 0.35) / (1.0 + bright * 0.85 + 1e-9)) ** 0.92)
