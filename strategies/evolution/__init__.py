"""Regularised evolution: AmoebaNet's baseline, serial or with many children under way, with rungs or without."""
