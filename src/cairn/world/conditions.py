"""When a photograph is taken: hour, weather, season, and the light that they make."""

from __future__ import annotations

from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray

from cairn.world import layout as at

Colour = tuple[float, float, float]

HOURS = ("day", "golden", "dusk", "night")
WEATHERS = ("clear", "cloudy", "overcast", "fog", "rain", "snow")
SEASONS = ("spring", "summer", "autumn", "winter")
LEAVES: dict[str, Colour] = {
    "spring": (1.05, 1.15, 0.8),
    "summer": (0.85, 0.95, 0.8),
    "autumn": (2.3, 1.05, 0.45),
    "winter": (1.25, 0.85, 0.95),
}


@dataclass(frozen=True)
class Conditions:
    """The circumstances of one photograph.

    Args:
        hour: One of `HOURS`.
        weather: One of `WEATHERS`.
        season: One of `SEASONS`.
        sun_azimuth: Radians about z.
        sun_height: Radians above the horizon.
    """

    hour: str
    weather: str
    season: str
    sun_azimuth: float
    sun_height: float

    @property
    def sun(self) -> NDArray[np.float64]:
        """The (3,) unit vector towards the sun, or the moon by night."""
        flat = cos(self.sun_height)
        direction = [flat * cos(self.sun_azimuth), flat * sin(self.sun_azimuth)]
        return np.array([*direction, sin(self.sun_height)])


def draw_conditions(rng: np.random.Generator, *, postcard: bool = False) -> Conditions:
    """Return circumstances as tourists meet them: mostly bright days, some of everything else.

    Args:
        rng: What to draw from.
        postcard: A bright day.
    """
    hours = (1.0, 0.0, 0.0, 0.0) if postcard else (0.66, 0.16, 0.07, 0.11)
    skies = (0.6, 0.4, 0, 0, 0, 0) if postcard else (0.39, 0.29, 0.17, 0.05, 0.05, 0.05)
    hour = HOURS[int(rng.choice(4, p=hours))]
    weather = WEATHERS[int(rng.choice(6, p=skies))]
    season = (
        "winter" if weather == "snow" else SEASONS[int(rng.choice(4, p=(0.25, 0.4, 0.2, 0.15)))]
    )
    low, high = {"day": (0.5, 1.25), "golden": (0.1, 0.3), "dusk": (0.03, 0.1)}.get(hour, (0.4, 1))
    azimuth = float(rng.uniform(0, 2 * pi))
    return Conditions(hour, weather, season, azimuth, float(rng.uniform(low, high)))


def _times(colour: Colour, factor: float) -> NDArray[np.float64]:
    return np.array(colour) * factor


def light_array(
    conditions: Conditions, distance: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the array that `cairn.world.shading.develop` reads, without ground and scene sizes.

    Args:
        conditions: When it is.
        distance: From the eye to the subject, metres; fog veils it but never hides it.
        rng: What to draw from.
    """
    light = np.zeros(at.LIGHT_LENGTH)
    hour, weather = conditions.hour, conditions.weather
    sun, ambient, zenith, horizon = {
        "day": ((2.6, 2.45, 2.2), (0.62, 0.74, 0.95), (0.16, 0.34, 0.75), (0.66, 0.80, 0.98)),
        "golden": ((2.3, 1.35, 0.62), (0.50, 0.52, 0.66), (0.20, 0.32, 0.60), (1.0, 0.72, 0.46)),
        "dusk": ((0.75, 0.38, 0.24), (0.30, 0.32, 0.46), (0.08, 0.12, 0.30), (0.78, 0.42, 0.34)),
        "night": ((0.05, 0.06, 0.09), (0.05, 0.06, 0.10), (0.01, 0.015, 0.04), (0.05, 0.05, 0.09)),
    }[hour]
    dull = {"clear": 0.0, "cloudy": 0.15, "overcast": 0.92, "fog": 0.95, "rain": 0.93, "snow": 0.9}
    gray = dull[weather]
    mean = float(np.mean(ambient))
    flat = np.array((mean, mean, mean * 1.04))
    light[at.SUN : at.SUN + 3] = conditions.sun
    light[at.SUN_RGB : at.SUN_RGB + 3] = _times(sun, 1 - 0.93 * gray)
    bright = np.array(ambient) * (1 - gray) + flat * (1 + 0.75 * gray) * gray
    light[at.AMBIENT : at.AMBIENT + 3] = bright
    ground = _times((0.42, 0.36, 0.28), 0.55 if hour in ("day", "golden") else 0.3)
    light[at.BOUNCE : at.BOUNCE + 3] = ground * float(bright.mean()) * 1.6
    cover = gray if weather != "cloudy" else 0.0
    light[at.ZENITH : at.ZENITH + 3] = np.array(zenith) * (1 - cover) + flat * cover * 1.4
    light[at.HORIZON : at.HORIZON + 3] = np.array(horizon) * (1 - cover) + flat * cover * 1.6
    veil = {"fog": rng.uniform(0.35, 1.1), "rain": 0.25, "snow": 0.3}.get(weather, 0.0)
    light[at.FOG] = veil / max(distance, 1.0) + float(rng.uniform(0.0002, 0.0010))
    light[at.CLOUD_COVER] = {"clear": 0.28, "cloudy": float(rng.uniform(0.45, 0.75))}.get(
        weather, 0
    )
    light[at.CLOUD_SCALE] = float(rng.uniform(4, 11))
    light[at.CLOUD_X], light[at.CLOUD_Y] = rng.uniform(0, 256, 2)
    light[at.NIGHT] = {"night": 1.0, "dusk": 0.45}.get(hour, 0.0)
    flood = ((1.0, 0.68, 0.34), (0.95, 0.86, 0.70), (0.7, 0.8, 1.0))[int(rng.choice(3))]
    light[at.FLOOD : at.FLOOD + 3] = _times(flood, float(rng.uniform(0.5, 1.1)))
    if weather == "snow" or (conditions.season == "winter" and rng.random() < 0.4):
        light[at.SNOW] = float(rng.uniform(0.35, 0.8))
    light[at.LEAF : at.LEAF + 3] = LEAVES[conditions.season]
    light[at.WETNESS] = 1.0 if weather == "rain" else 0.0
    light[at.SHADOW] = 1.0
    level = float(light[at.AMBIENT : at.AMBIENT + 3].mean() + 0.45 * light[at.SUN_RGB + 1])
    aim = 1.3 if hour != "night" else 0.6
    exposure = aim / (level + (0.45 if hour in ("night", "dusk") else 0.05))
    light[at.EXPOSURE] = exposure * float(np.exp(rng.normal(0, 0.18)))
    warmth = float(rng.normal(0, 0.07))
    light[at.BALANCE : at.BALANCE + 3] = (1 + warmth, 1 + float(rng.normal(0, 0.02)), 1 - warmth)
    return light
