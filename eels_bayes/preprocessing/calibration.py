"""What a preprocessor learns from the images of a series."""

PROFILE_RANGE = (0.5, 1.5)  # of the window's ends: what lies farther says little about the edge
PROFILE_MARGIN = 3.0  # eV that later images may drift beyond those calibrated on
CALIBRATION_PIXELS = 5000
