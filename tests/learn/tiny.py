"""A frame codec small enough for tests."""

from rollouts.dreams.codec import CodecConfig

TINY_CODEC = CodecConfig(encoder_widths=(8, 8), decoder_widths=(8, 8))
