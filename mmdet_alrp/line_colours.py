"""Colours of the lines of a plot, told apart by colour-blind readers and in grey."""

# Okabe-Ito palette, its light yellow left out
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000')
