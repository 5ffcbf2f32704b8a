"""Cut-out pixels to normalised input on the processor, in one compiled pass over each photograph.

What it computes is `cairn.augment.change_batch`, which is its oracle and runs on other devices;
here threads work on a photograph each, without the interpreter's lock.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cairn.compiled import compiled
from cairn.domain import Float32


@compiled
def change_pixels(
    pixels_3SS: NDArray[np.uint8],
    change_K: Float32,
    luma_3: Float32,
    scale_3: Float32,
    shift_3: Float32,
    out_SS3: Float32,
) -> None:
    """Write the changed, normalised photograph into ``out_SS3``.

    Args:
        pixels_3SS: RGB, 0 to 255.
        change_K: A row of `cairn.augment.change_table`.
        luma_3: Weights of the channels in a grey value.
        scale_3: 1 / (255 std).
        shift_3: -mean / std.
        out_SS3: Where the result goes.
    """
    side = pixels_3SS.shape[1]
    gain, gray, lift = change_K[1], change_K[2], change_K[3]
    zero, full = np.float32(0), np.float32(255)
    mean = 0.0
    for channel in range(3):
        total = 0
        for row in range(side):
            for column in range(side):
                total += pixels_3SS[channel, row, column]
        mean += luma_3[channel] * (total / (side * side))
    constant = np.float32(lift * mean)
    values_3S = np.empty((3, side), dtype=np.float32)  # a row: plane by plane it vectorises
    for row in range(side):
        for column in range(side):
            red = np.float32(pixels_3SS[0, row, column])
            green = np.float32(pixels_3SS[1, row, column])
            blue = np.float32(pixels_3SS[2, row, column])
            level = gray * (luma_3[0] * red + luma_3[1] * green + luma_3[2] * blue) + constant
            red, green, blue = gain * red + level, gain * green + level, gain * blue + level
            red, green, blue = max(red, zero), max(green, zero), max(blue, zero)
            values_3S[0, column] = min(red, full) * scale_3[0] + shift_3[0]
            values_3S[1, column] = min(green, full) * scale_3[1] + shift_3[1]
            values_3S[2, column] = min(blue, full) * scale_3[2] + shift_3[2]
        for column in range(side):
            place = side - 1 - column if change_K[0] > 0 else column
            out_SS3[row, place, 0] = values_3S[0, column]
            out_SS3[row, place, 1] = values_3S[1, column]
            out_SS3[row, place, 2] = values_3S[2, column]
    left, top, right, low = change_K[4], change_K[5], change_K[6], change_K[7]
    if low > top:
        out_SS3[int(top) : int(low), int(left) : int(right)] = zero
