"""Where each number lies in the light array that the kernels read.

Colours and directions take three places and are named by their first. It stands apart so that
nothing but rendering loads the compiler.
"""

SUN, SUN_RGB, AMBIENT, BOUNCE, ZENITH, HORIZON = 0, 3, 6, 9, 12, 15
FOG, CLOUD_COVER, CLOUD_SCALE, CLOUD_X, CLOUD_Y, NIGHT = 18, 19, 20, 21, 22, 23
FLOOD, SNOW, LEAF, EXPOSURE, BALANCE = 24, 27, 28, 31, 32
NEAR_GROUND, FAR_GROUND, EDGE_RADIUS, EDGE_KIND, EDGE_X, EDGE_Y = 35, 36, 37, 38, 39, 40
WETNESS, SHADOW_REACH, SHADOW, TALL = 41, 42, 43, 44
LIGHT_LENGTH = 45
