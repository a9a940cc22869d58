"""Frames to MP4, for export: the pages draw frames themselves."""

from __future__ import annotations

from pathlib import Path

import imageio_ffmpeg
import numpy as np


def write_mp4(path: Path | str, frames_THW3: np.ndarray, fps: float, scale: int = 4) -> None:
    """Write uint8 frames [T, H, W, 3] as H.264 (yuv420p, crf 16), each pixel drawn `scale` times as large.

    Raises ValueError for frames with odd sides after scaling: yuv420p halves them, and a silent resize would shift pixels.
    """
    frames = np.ascontiguousarray(frames_THW3.repeat(scale, axis=1).repeat(scale, axis=2))
    _, height, width, _ = frames.shape
    if height % 2 or width % 2:
        raise ValueError(f"{width} x {height} pixels: both must be even")
    writer = imageio_ffmpeg.write_frames(
        str(path),
        (width, height),
        fps=fps,
        codec="libx264",
        pix_fmt_out="yuv420p",
        macro_block_size=1,
        output_params=["-crf", "16", "-movflags", "+faststart"],
    )
    writer.send(None)
    try:
        for frame in frames:
            writer.send(frame.tobytes())
    finally:
        writer.close()
